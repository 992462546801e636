use super::*;
use crate::random::SplitMix64;

/// Random factors of two groups, and weights of three units each, along or side by side.
fn example(inputs: usize, run: usize) -> (Factors, Vec<f32>) {
    let mut random = SplitMix64::new((inputs * 100 + run) as u64);
    let mut moments = || {
        let samples: Vec<Vec<f64>> =
            (0..2 * inputs).map(|_| (0..inputs).map(|_| random.unit()).collect()).collect();
        let mut sums = vec![0.0f32; inputs * inputs];
        for x in &samples {
            for i in 0..inputs {
                for j in 0..inputs {
                    sums[i * inputs + j] += (x[i] * x[j]) as f32;
                }
            }
        }
        sums
    };
    let groups = (0..2).map(|_| Factor::new(&moments(), inputs, 0.01).unwrap()).collect();
    let factors = Factors { groups, group_len: inputs * 3, run };
    let weights = (0..6 * inputs).map(|_| (8.0 * random.unit() - 4.0) as f32).collect();
    (factors, weights)
}

/// Which unit and place a weight has: the definition.
fn unit(i: usize, inputs: usize, run: usize) -> (usize, usize) {
    (i / (run * inputs) * run + i % run, i / run % inputs)
}

#[test]
fn targets_are_the_weights_with_the_shares_of_earlier_errors() {
    for (inputs, run) in [(1, 1), (4, 1), (9, 1), (4, 3), (9, 3), (20, 3), (20, 1)] {
        let (factors, weights) = example(inputs, run);
        let mut targets = Targets::new(&weights, Some(Feedback::new(&factors, 0)));
        let mut errors = vec![0.0f64; weights.len()];
        for at in 0..weights.len() {
            let (own, place) = unit(at, inputs, run);
            let factor = &factors.groups[at / factors.group_len];
            let asked: f64 = (0..weights.len())
                .filter(|i| unit(*i, inputs, run).0 == own && unit(*i, inputs, run).1 < place)
                .map(|i| errors[i] * f64::from(factor.shares(place)[unit(i, inputs, run).1]))
                .sum();
            let found = targets.get(at);
            assert!((f64::from(found) - f64::from(weights[at]) - asked).abs() < 1e-4, "{inputs} {run} {at}");
            let value = found.round_ties_even();
            errors[at] = f64::from(weights[at] - value);
            targets.decide(value);
        }
        let errors: Vec<f32> = errors.iter().map(|e| *e as f32).collect();
        let whitened = Feedback::new(&factors, 0).whitened(&errors);
        let rounded = weights.iter().zip(&errors).zip(&whitened).all(|((w, e), part)| {
            let value = w - e;
            (part.abs() <= 0.501) && (value - value.round_ties_even()).abs() < 1e-4
        });
        assert!(rounded, "what is left of every target is less than half a step: {inputs} {run}");
    }
}

#[test]
fn a_run_that_begins_later_is_the_same_run() {
    let (factors, weights) = example(5, 3);
    let later = Feedback::new(&factors, 0).skip(15);
    let (whole, part) = (Feedback::new(&factors, 15), &weights[15..]);
    assert_eq!(later.whitened(part), whole.whitened(part));
    // A run that begins within a unit knows nothing of the errors before.
    let (factors, _) = example(5, 1);
    let feedback = Feedback::new(&factors, 2);
    assert_eq!((feedback.place(0), feedback.shares(0).len(), feedback.shares(1).len()), (2, 0, 1));
    assert_eq!(feedback.shares(1)[0], factors.groups[0].shares(3)[2]);
}

#[test]
fn weights_that_are_zero_stay_so_and_without_feedback_all_do() {
    let (factors, mut weights) = example(4, 1);
    weights[2] = 0.0;
    let mut targets = Targets::new(&weights, Some(Feedback::new(&factors, 0)));
    targets.decide(9.0);
    targets.decide(9.0);
    assert_eq!(targets.get(2), 0.0);
    let mut alone = Targets::new(&weights, None);
    alone.decide(9.0);
    assert_eq!(alone.get(1), weights[1]);
    assert_eq!((alone.together(1), targets.together(1)), (23, 1));
}
