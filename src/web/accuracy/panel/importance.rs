//! Importance computed here: derivatives summed over samples, a share of them in each worker.

use super::super::jobs::{Answer, Job};
use super::Panel;
use super::measuring::COARSE;
use crate::network::importance::{Computed, Kind};
use crate::web::blobs::blob_from_bytes;
use crate::web::dom::set_text;
use crate::web::pool::{Outcome, unexpected};
use js_sys::Array;
use std::collections::BTreeMap;
use std::rc::Rc;
use web_sys::File;

impl Panel {
    pub(super) async fn compute_importance(me: Rc<Self>) -> Outcome<()> {
        me.prepare().await?;
        let kind = Kind::from_id(&me.elements.kind.value()).unwrap_or(Kind::Hessian);
        let typed = me.elements.samples.value().parse::<usize>().unwrap_or(COARSE);
        let (total, setup, data_kind, name) = {
            let state = me.state.borrow();
            let data = state.data.clone().unwrap_or_default();
            let name =
                state.network.as_ref().map_or_else(|| state.open.name.clone(), |chosen| chosen.name.clone());
            (data.samples.min(typed.max(1)), state.setup.clone(), data.kind, name)
        };
        let Some(setup) = setup else { return Err(unexpected()) };
        let share = total.div_ceil(me.pool.len()).max(1);
        let ranges = (0..total).step_by(share).map(|start| (start, (start + share).min(total)));
        let asked: Vec<_> = ranges.map(|range| me.pool.run(Job::Walk { kind, range })).collect();
        let mut sums: BTreeMap<String, (Vec<usize>, Vec<f64>)> = BTreeMap::new();
        let mut words = String::new();
        for receiver in asked {
            let Answer::Walked { parts, loss } = me.answer(receiver).await? else { return Err(unexpected()) };
            words = loss;
            for (name, shape, values) in parts {
                let sum = sums.entry(name).or_insert_with(|| (shape, vec![0.0; values.len()]));
                sum.1.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
            }
        }
        let means = |values: Vec<f64>| values.into_iter().map(|x| x / total.max(1) as f64).collect();
        let tensors = sums.into_iter().map(|(name, (shape, values))| (name, shape, means(values))).collect();
        let computed = Computed { kind, tensors, samples: total, loss: words, without: Vec::new() };
        let bytes =
            computed.to_safetensors(&name, &data_kind, &setup, false).map_err(|error| error.to_string())?;
        let stem = name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem);
        let file_name = format!("{stem}.{}.safetensors", kind.id());
        me.state.borrow_mut().last_file = Some((file_name.clone(), bytes.clone()));
        if kind != Kind::Gradient {
            let blob = blob_from_bytes(&bytes)?;
            if let Ok(file) = File::new_with_blob_sequence(&Array::of1(&blob), &file_name) {
                me.dispatch("accuracy-importance", &file);
            }
        }
        set_text(
            &me.elements.done,
            &format!("{file_name}: {} of {} over {total} samples", kind.id(), computed.loss),
        );
        Ok(())
    }
}
