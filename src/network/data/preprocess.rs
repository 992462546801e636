//! From samples as files have them to what the network was trained on: scale, mean, standard deviation, layout.

use crate::network::graph::InputInfo;
use crate::network::{Array, NetworkError};
use ndarray::{Axis, IxDyn};
use std::fmt::Write as _;

/// Where the colours of an image lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub enum Layout {
    /// As the shapes of data and network suggest.
    #[default]
    Auto,
    /// Colour planes: channels, height, width.
    Chw,
    /// Colours beside each other: height, width, channels.
    Hwc,
}

/// What is done to a sample: (x / scale − mean) / std, and its layout.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Preprocess {
    /// Divides every value.
    pub scale: f32,
    /// Subtracted then, per channel or one for all.
    pub mean: Vec<f32>,
    /// Divides then, per channel or one for all.
    pub std: Vec<f32>,
    /// How the data lies.
    pub layout: Layout,
}

impl Default for Preprocess {
    /// Bytes to numbers from 0 to 1.
    fn default() -> Self {
        Self { scale: 255.0, mean: vec![0.0], std: vec![1.0], layout: Layout::Auto }
    }
}

impl Preprocess {
    /// Values as they are.
    pub fn raw() -> Self {
        Self { scale: 1.0, ..Self::default() }
    }

    /// What networks are commonly trained on, the likeliest first, for samples of bytes with `channels` colours.
    pub fn candidates(is_bytes: bool, channels: usize) -> Vec<Self> {
        let colours = |mean: [f32; 3], std: [f32; 3]| Self {
            mean: mean.to_vec(),
            std: std.to_vec(),
            ..Self::default()
        };
        if !is_bytes {
            return vec![Self::raw()];
        }
        let mut all = vec![Self::default()];
        if channels == 3 {
            // Means and deviations of ImageNet and of CIFAR-10, as torchvision's and common training scripts have them.
            all.push(colours([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]));
            all.push(colours([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]));
            all.push(colours([0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]));
        } else {
            all.push(Self { scale: 256.0, ..Self::default() });
            all.push(Self { mean: vec![0.1307], std: vec![0.3081], ..Self::default() });
        }
        all.push(Self { mean: vec![0.5], std: vec![0.5], ..Self::default() });
        all.push(Self::raw());
        all
    }

    /// As one line of `key=value` pairs.
    pub fn to_line(&self) -> String {
        let list = |values: &[f32]| values.iter().map(f32::to_string).collect::<Vec<_>>().join(",");
        let mut line = format!("scale={}", self.scale);
        let _ = write!(line, "&mean={}&std={}", list(&self.mean), list(&self.std));
        match self.layout {
            Layout::Auto => {}
            Layout::Chw => line.push_str("&layout=chw"),
            Layout::Hwc => line.push_str("&layout=hwc"),
        }
        line
    }

    /// Reads [`to_line`](Self::to_line)'s form; what is left out takes its default.
    pub fn from_line(line: &str) -> Result<Self, NetworkError> {
        let mut preprocess = Self::default();
        for pair in line.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let wrong = |expected: &str| {
                NetworkError::data(crate::formats::shown(key), expected, crate::formats::shown(value))
            };
            let list = || -> Option<Vec<f32>> {
                let numbers: Vec<f32> =
                    value.split(',').map(|n| n.trim().parse::<f32>().ok()).collect::<Option<_>>()?;
                (!numbers.is_empty() && numbers.iter().all(|n| n.is_finite())).then_some(numbers)
            };
            match key {
                "scale" => {
                    let scale = value.trim().parse::<f32>().ok().filter(|s| s.is_finite() && *s > 0.0);
                    preprocess.scale = scale.ok_or_else(|| wrong("a number above 0"))?;
                }
                "mean" => preprocess.mean = list().ok_or_else(|| wrong("numbers, one or one per channel"))?,
                "std" => {
                    let std = list().filter(|std| std.iter().all(|s| *s > 0.0));
                    preprocess.std = std.ok_or_else(|| wrong("numbers above 0, one or one per channel"))?;
                }
                "layout" => {
                    preprocess.layout = match value {
                        "auto" => Layout::Auto,
                        "chw" => Layout::Chw,
                        "hwc" => Layout::Hwc,
                        _ => return Err(wrong("auto, chw or hwc")),
                    }
                }
                _ => {
                    return Err(NetworkError::data(
                        "preprocessing",
                        "scale, mean, std or layout",
                        crate::formats::shown(key),
                    ));
                }
            }
        }
        Ok(preprocess)
    }

    /// A batch of samples of shape `shape` (samples first) as the network's input wants it.
    pub(super) fn apply(
        &self,
        input: &InputInfo,
        shape: &[usize],
        mut values: Vec<f32>,
    ) -> Result<Array, NetworkError> {
        let samples = shape.first().copied().unwrap_or(0);
        let sample = shape.get(1..).unwrap_or_default();
        let wanted = input.shape.get(1..).unwrap_or_default();
        let hwc = match self.layout {
            Layout::Hwc => true,
            Layout::Chw => false,
            // Three or four colours last, where the network does not want them there.
            Layout::Auto => matches!(
                (sample, wanted),
                ([h, w, c @ (1 | 3 | 4)], [wc, wh, ww])
                    if wc.is_none_or(|n| n == *c) && wh.is_none_or(|n| n == *h) && ww.is_none_or(|n| n == *w)
            ),
        };
        let channel_axis = match (sample.len(), hwc) {
            (3, true) => 2,
            _ => 0,
        };
        let channels = if sample.len() == 3 { sample.get(channel_axis).copied().unwrap_or(1) } else { 1 };
        let inner: usize = sample.get(channel_axis + 1..).unwrap_or_default().iter().product();
        self.normalise(&mut values, channels, if sample.len() == 3 { inner } else { 0 })?;
        let mut array = ndarray::ArrayD::from_shape_vec(IxDyn(shape), values)
            .map_err(|error| NetworkError::data("the samples", "a shape that fits", error.to_string()))?;
        let planes_wanted = wanted.len() == 3 && !is_shape(wanted, sample);
        if sample.len() == 3 && hwc && (planes_wanted || self.layout == Layout::Hwc) {
            array = array.permuted_axes(IxDyn(&[0, 3, 1, 2])).as_standard_layout().into_owned();
        }
        // A grey image is an image of one channel.
        if sample.len() == 2 && wanted.len() == 3 && wanted.first().is_none_or(|c| c.is_none_or(|c| c == 1)) {
            array = array.insert_axis(Axis(1));
        }
        let now: Vec<usize> = array.shape().get(1..).unwrap_or_default().to_vec();
        if is_shape(wanted, &now) || input.shape.is_empty() {
            return Ok(Array::F32(array));
        }
        // The same number of elements in another shape: flat pixels, say.
        let count: usize = now.iter().product();
        let fixed: Option<Vec<usize>> = wanted.iter().copied().collect();
        if let Some(fixed) = fixed.filter(|fixed| fixed.iter().product::<usize>() == count) {
            let mut shape = vec![samples];
            shape.extend(fixed);
            return Array::floats(&shape, array.iter().copied().collect());
        }
        let text = |shape: Vec<String>| format!("samples of shape {}", shape.join("×"));
        let expected = wanted.iter().map(|n| n.map_or("any".to_owned(), |n| n.to_string())).collect();
        let found = now.iter().map(usize::to_string).collect();
        Err(NetworkError::data(
            format!("input {}", crate::formats::shown(&input.name)),
            text(expected),
            text(found),
        ))
    }

    /// Scales, subtracts and divides; `inner` elements lie between two of neighbouring channels.
    fn normalise(&self, values: &mut [f32], channels: usize, inner: usize) -> Result<(), NetworkError> {
        for (name, list) in [("mean", &self.mean), ("std", &self.std)] {
            if list.len() != 1 && list.len() != channels {
                let expected = format!("one number or {channels}, one per channel");
                return Err(NetworkError::data(name, expected, list.len().to_string()));
            }
        }
        let of = |list: &[f32], channel: usize| list.get(channel).or(list.first()).copied().unwrap_or(0.0);
        for (i, value) in values.iter_mut().enumerate() {
            let channel = i.checked_div(inner).map_or(0, |at| at % channels.max(1));
            *value = (*value / self.scale - of(&self.mean, channel)) / of(&self.std, channel);
        }
        Ok(())
    }
}

fn is_shape(wanted: &[Option<usize>], found: &[usize]) -> bool {
    wanted.len() == found.len() && wanted.iter().zip(found).all(|(w, f)| w.is_none_or(|w| w == *f))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(shape: &[Option<usize>]) -> InputInfo {
        InputInfo { name: "x".to_owned(), shape: shape.to_vec(), is_float: true }
    }

    #[test]
    fn the_line_form_survives() {
        let line = "scale=255&mean=0.485,0.456,0.406&std=0.229,0.224,0.225&layout=hwc";
        assert_eq!(Preprocess::from_line(line).unwrap().to_line(), line);
        assert_eq!(Preprocess::from_line("").unwrap(), Preprocess::default());
        for wrong in ["scale=0", "scale=x", "std=0", "mean=", "mean=a", "layout=x", "foo=1", "std=nan"] {
            assert!(Preprocess::from_line(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn colours_beside_each_other_become_planes() {
        let wanted = input(&[None, Some(3), Some(1), Some(2)]);
        let preprocess = Preprocess {
            scale: 1.0,
            mean: vec![0.0, 10.0, 20.0],
            std: vec![1.0, 2.0, 4.0],
            layout: Layout::Auto,
        };
        let array = preprocess.apply(&wanted, &[1, 1, 2, 3], vec![1.0, 12.0, 24.0, 2.0, 14.0, 28.0]).unwrap();
        assert_eq!(array, Array::floats(&[1, 3, 1, 2], vec![1.0, 2.0, 1.0, 2.0, 1.0, 2.0]).unwrap());
        // The same numbers as planes give the same array.
        let planes =
            preprocess.apply(&wanted, &[1, 3, 1, 2], vec![1.0, 2.0, 12.0, 14.0, 24.0, 28.0]).unwrap();
        assert_eq!(planes, array);
    }

    #[test]
    fn grey_images_and_flat_ones_are_shaped() {
        let values = vec![0.0, 255.0, 51.0, 102.0];
        let grey = Preprocess::default().apply(
            &input(&[None, Some(1), Some(2), Some(2)]),
            &[1, 2, 2],
            values.clone(),
        );
        assert_eq!(grey.unwrap(), Array::floats(&[1, 1, 2, 2], vec![0.0, 1.0, 0.2, 0.4]).unwrap());
        let flat = Preprocess::default().apply(&input(&[None, Some(4)]), &[1, 2, 2], values);
        assert_eq!(flat.unwrap(), Array::floats(&[1, 4], vec![0.0, 1.0, 0.2, 0.4]).unwrap());
    }

    #[test]
    fn a_shape_that_does_not_fit_is_refused_in_a_sentence() {
        let wanted = input(&[None, Some(1), Some(28), Some(28)]);
        let error = Preprocess::default().apply(&wanted, &[1, 3, 32, 32], vec![0.0; 3072]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "data: input x: expected samples of shape 1×28×28, found samples of shape 3×32×32"
        );
        let preprocess = Preprocess { mean: vec![0.0; 2], ..Preprocess::default() };
        assert!(preprocess.apply(&wanted, &[1, 28, 28], vec![0.0; 784]).is_err());
    }
}
