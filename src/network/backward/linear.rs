//! `Gemm` and `MatMul`.

use super::{Floats, Pair, Step, unbroadcast, unsupported};
use crate::network::NetworkError;
use ndarray::{Array2, ArrayView2, Ix2, IxDyn};

fn matrix(array: &Floats) -> Option<ArrayView2<'_, f32>> {
    array.view().into_dimensionality::<Ix2>().ok()
}

/// y = α A B + β C, with A and B perhaps transposed.
pub(super) fn gemm(step: &mut Step) -> Result<(), NetworkError> {
    let node = step.node;
    let (alpha, beta) = (node.float("alpha", 1.0), node.float("beta", 1.0));
    let (trans_a, trans_b) = (node.int("transA", 0) != 0, node.int("transB", 0) != 0);
    let pair = step.pair();
    let (a, b) = (step.input(0)?.clone(), step.input(1)?.clone());
    let node = step.node;
    let refused = || unsupported(node);
    for index in [0, 1] {
        if !step.wants(index) {
            continue;
        }
        let back = pair.try_through(|g, power| {
            let (a, b) = (power.of(&a), power.of(&b));
            let views = (matrix(g), matrix(&a), matrix(&b));
            let (Some(g), Some(a), Some(b)) = views else { return Err(refused()) };
            let a = if trans_a { a.reversed_axes() } else { a };
            let b = if trans_b { b.reversed_axes() } else { b };
            let (rows, inner, columns) = (a.nrows(), a.ncols(), b.ncols());
            if b.nrows() != inner || g.dim() != (rows, columns) {
                return Err(refused());
            }
            let flipped = if index == 0 { trans_a } else { trans_b };
            let out: Array2<f32> = if index == 0 { g.dot(&b.t()) } else { a.t().dot(&g) };
            let out = if flipped { out.reversed_axes().as_standard_layout().into_owned() } else { out };
            Ok((out * power.number(alpha)).into_dyn())
        })?;
        step.give(index, back);
    }
    if step.wants(2) {
        let shape = step.input(2)?.shape().to_vec();
        let back = pair.through(|g, power| unbroadcast(g * power.number(beta), &shape));
        step.give(2, back);
    }
    Ok(())
}

/// y = A B over the last two dimensions, the others broadcast.
pub(super) fn matmul(step: &mut Step) -> Result<(), NetworkError> {
    let pair = step.pair();
    let (a, b) = (step.input(0)?.clone(), step.input(1)?.clone());
    let wants = [step.wants(0), step.wants(1)];
    let (mut for_a, mut for_b) = (Pair::default(), Pair::default());
    for (cotangent, power) in [(&pair.gradient, super::Power::One), (&pair.curvature, super::Power::Two)] {
        let Some(g) = cotangent else { continue };
        let (da, db) = products(g, &power.of(&a), &power.of(&b), wants).ok_or_else(|| step.unsupported())?;
        match power {
            super::Power::One => (for_a.gradient, for_b.gradient) = (da, db),
            super::Power::Two => (for_a.curvature, for_b.curvature) = (da, db),
        }
    }
    if wants[0] {
        step.give(0, for_a);
    }
    if wants[1] {
        step.give(1, for_b);
    }
    Ok(())
}

type Products = Option<(Option<Floats>, Option<Floats>)>;

/// G Bᵀ and Aᵀ G in the shapes of A and B.
fn products(g: &Floats, a: &Floats, b: &Floats, wants: [bool; 2]) -> Products {
    // A vector is a matrix of one row or column.
    let a2 = if a.ndim() == 1 { a.clone().insert_axis(ndarray::Axis(0)) } else { a.clone() };
    let b2 = if b.ndim() == 1 { b.clone().insert_axis(ndarray::Axis(1)) } else { b.clone() };
    let mut g = g.clone();
    if a.ndim() == 1 {
        let at = g.ndim().checked_sub(usize::from(b.ndim() != 1))?;
        g = g.insert_axis(ndarray::Axis(at));
    }
    // The runtime keeps the column where A has more than two dimensions.
    if b.ndim() == 1 && g.ndim() < a2.ndim() {
        let at = g.ndim();
        g = g.insert_axis(ndarray::Axis(at));
    }
    let (rows, inner) = (*a2.shape().iter().nth_back(1)?, *a2.shape().last()?);
    let columns = *b2.shape().last()?;
    let batch: Vec<usize> = g.shape().get(..g.ndim().checked_sub(2)?)?.to_vec();
    if b2.ndim() == 2 {
        // All rows of A meet the same B.
        let count: usize = batch.iter().product::<usize>() * rows;
        let flat_g = g.as_standard_layout().into_owned().into_shape_with_order((count, columns)).ok()?;
        let flat_a = a2.as_standard_layout().into_owned().into_shape_with_order((count, inner)).ok()?;
        let b_matrix = matrix(&b2)?;
        let da = wants[0].then(|| flat_g.dot(&b_matrix.t()).into_dyn());
        let db = wants[1].then(|| flat_a.t().dot(&flat_g).into_dyn());
        return Some((reshape(da, a.shape())?, reshape(db, b.shape())?));
    }
    let with_batch = |last: [usize; 2]| batch.iter().copied().chain(last).collect::<Vec<usize>>();
    let flat = |array: &Floats, last: [usize; 2]| {
        let wide = array.broadcast(IxDyn(&with_batch(last)))?.as_standard_layout().into_owned();
        wide.into_shape_with_order((batch.iter().product::<usize>(), last[0], last[1])).ok()
    };
    let (wide_a, wide_b) = (flat(&a2, [rows, inner])?, flat(&b2, [inner, columns])?);
    let wide_g = flat(&g, [rows, columns])?;
    let mut da = ndarray::Array3::<f32>::zeros(wide_a.raw_dim());
    let mut db = ndarray::Array3::<f32>::zeros(wide_b.raw_dim());
    for i in 0..wide_g.shape()[0] {
        let at = ndarray::Axis(0);
        let (ga, gb) = (wide_g.index_axis(at, i), wide_g.index_axis(at, i));
        if wants[0] {
            da.index_axis_mut(at, i).assign(&ga.dot(&wide_b.index_axis(at, i).t()));
        }
        if wants[1] {
            db.index_axis_mut(at, i).assign(&wide_a.index_axis(at, i).t().dot(&gb));
        }
    }
    let back = |array: ndarray::Array3<f32>, last: [usize; 2], shape: &[usize], rank2: &[usize]| {
        let array = array.into_shape_with_order(IxDyn(&with_batch(last))).ok()?;
        reshape(Some(unbroadcast(array, rank2)), shape)?
    };
    let da = if wants[0] { Some(back(da, [rows, inner], a.shape(), a2.shape())?) } else { None };
    let db = if wants[1] { Some(back(db, [inner, columns], b.shape(), b2.shape())?) } else { None };
    Some((da, db))
}

#[allow(clippy::option_option)]
fn reshape(array: Option<Floats>, shape: &[usize]) -> Option<Option<Floats>> {
    match array {
        None => Some(None),
        Some(array) => {
            let array = array.as_standard_layout().into_owned();
            array.into_shape_with_order(IxDyn(shape)).ok().map(Some)
        }
    }
}
