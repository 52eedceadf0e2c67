//! What the samples of one load come to.

use super::figure::{Cost, Figure, Ratio, Row, median};
use super::load::{Load, Question, Taken};
use super::{Measurers, Silent, order};

/// How often what the lab adds is done once more: not at all, and that many times.
const AGAIN: [u8; 2] = [1, 2];

/// The samples of one load.
pub(super) struct Gathered {
    without_filter_ns: Vec<f64>,
    /// For each image, all samples of it as it is.
    samples: Vec<Vec<Taken>>,
    /// The turns of each repetition.
    repetitions: Vec<Vec<Turn>>,
}

/// For each image, the time per packet in the driver's code and what the lab adds to it.
type Turn = Vec<Inside>;

/// As it is, and with what the lab adds done more often.
#[derive(Clone, Copy, Default)]
pub(super) struct Inside {
    /// With what the lab adds done once.
    pub(super) once_ns: f64,
    /// Done twice, and three times.
    pub(super) more_ns: [f64; AGAIN.len()],
}

/// What the lab adds to the time in the driver's code, per packet.
#[derive(Clone, Copy)]
struct Added {
    ns: f64,
    /// How much more a third time adds than a second one.
    bend_ns: f64,
    /// Half of the difference between the least and the largest median of a repetition.
    chance_ns: f64,
}

impl Added {
    fn of(repetitions: &[Vec<Turn>], image: usize) -> Self {
        let second = |turn: &Turn| turn[image].more_ns[0] - turn[image].once_ns;
        let third = |turn: &Turn| turn[image].more_ns[1] - turn[image].more_ns[0];
        let all = || repetitions.iter().flatten();
        let ns = median(all().map(second));
        let medians: Vec<f64> = repetitions
            .iter()
            .map(|turns| median(turns.iter().map(second)))
            .collect();
        Self {
            ns,
            bend_ns: median(all().map(third)) - ns,
            chance_ns: Figure::range(&medians) / 2.0,
        }
    }
}

impl Gathered {
    pub(super) fn new(images: usize) -> Self {
        Self {
            without_filter_ns: Vec::new(),
            samples: vec![Vec::new(); images],
            repetitions: Vec::new(),
        }
    }

    pub(super) fn begin_repetition(&mut self) {
        self.repetitions.push(Vec::new());
    }

    /// One turn.
    pub(super) fn add(
        &mut self,
        load: Load,
        turn: u32,
        sample_ms: u64,
        measurers: &mut Measurers,
    ) -> Result<(), Silent> {
        let images = self.samples.len();
        let question = |is_past, again| Question {
            load,
            is_past,
            again,
            least_ns: sample_ms * 1_000_000,
        };
        let mut inside = vec![Inside::default(); images];
        let times = order(images, turn).len() / images;
        for &index in order(images, turn) {
            let taken = measurers.sample(index, question(false, 0))?;
            inside[index].once_ns += taken.per_packet(taken.driver_ns) / times as f64;
            self.samples[index].push(taken);
        }
        for (place, again) in AGAIN.into_iter().enumerate() {
            for &index in &order(images, turn)[..images] {
                let taken = measurers.sample(index, question(false, again))?;
                inside[index].more_ns[place] = taken.per_packet(taken.driver_ns);
            }
        }
        if let Some(repetition) = self.repetitions.last_mut() {
            repetition.push(inside);
        }
        // The lab alone is the same with any image.
        let taken = measurers.sample(turn as usize % images, question(true, 0))?;
        self.without_filter_ns
            .push(taken.per_packet(taken.elapsed_ns));
        Ok(())
    }

    pub(super) fn row(self, load: Load) -> Row {
        let added: Vec<Added> = (0..self.samples.len())
            .map(|image| Added::of(&self.repetitions, image))
            .collect();
        let costs: Vec<Cost> = (0..self.samples.len())
            .map(|image| self.cost(image, added[image]))
            .collect();
        let ratio = match added[..] {
            [first, second] if costs.iter().all(Cost::is_told) => {
                let ratio = self.ratio([first, second]);
                let chance = |image: usize| added[image].chance_ns / costs[image].net.median;
                Some(Ratio {
                    // They have nothing to do with each other.
                    doubt: ratio.doubt.hypot(chance(0)).hypot(chance(1)),
                    ..ratio
                })
            }
            _ => None,
        };
        Row {
            load,
            without_filter_ns: median(self.without_filter_ns.iter().copied()),
            costs,
            ratio,
        }
    }

    fn cost(&self, image: usize, added: Added) -> Cost {
        let middle = |value: fn(&Taken) -> f64| {
            let samples = self.samples[image].iter();
            median(samples.map(|it| it.per_packet(value(it))))
        };
        let nets = |turns: &Vec<Turn>| {
            let turns = turns.iter().map(|turn| turn[image].once_ns - added.ns);
            median(turns)
        };
        let net = Figure::of(&self.repetitions.iter().map(nets).collect::<Vec<_>>());
        Cost {
            raw_ns: middle(|it| it.elapsed_ns),
            lab_ns: middle(|it| it.elapsed_ns - it.driver_ns) + added.ns,
            net,
            error_ns: added.bend_ns.hypot(added.chance_ns) + middle(|it| it.doubt_ns),
            imports: middle(|it| it.imports as f64),
        }
    }

    /// Of the first image's net cost in the second's, if the lab's part bends for both of them alike.
    fn ratio(&self, added: [Added; 2]) -> Ratio {
        let with = |[first, second]: [f64; 2]| {
            let of_turn = |turn: &Turn| match turn[..] {
                [a, b] => (a.once_ns - first) / (b.once_ns - second),
                _ => 0.0,
            };
            let of_repetition = |turns: &Vec<Turn>| median(turns.iter().map(of_turn));
            Figure::of(
                &self
                    .repetitions
                    .iter()
                    .map(of_repetition)
                    .collect::<Vec<_>>(),
            )
        };
        let told = with(added.map(|it| it.ns));
        let bent = with(added.map(|it| it.ns + it.bend_ns));
        Ratio {
            median: told.median,
            spread: told.spread,
            doubt: (bent.median / told.median - 1.0).abs(),
        }
    }
}
