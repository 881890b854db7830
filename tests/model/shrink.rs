//! Makes a failing sequence as short as it can be: parts are left out as long as the rest still
//! fails (delta debugging).

use std::fmt::Write as _;
use std::rc::Rc;
use std::time::Duration;

use super::common::Bench;
use super::names::{Lane, World};
use super::op::Op;
use super::solo::{Failure, Player};

/// Most replays, each on a mount of its own.
const REPLAYS_MAX: usize = 400;

/// How long what was closed may take to end: shorter, so that what never ends can be made short too.
const PATIENCE: Duration = Duration::from_secs(1);

/// The failure of a sequence on an empty store, if it fails.
fn fails(backend: &'static str, world: &Rc<World>, ops: &[Op]) -> Option<Failure> {
    let bench = Bench::new(backend);
    Player::new(&bench, Rc::clone(world), PATIENCE).replay(ops).err()
}

/// The shortest sequence that was found to fail, as readable steps.
pub fn report(backend: &'static str, seed: u64, lane: Lane, found: &Failure) -> String {
    let world = Rc::new(World::new(seed, lane));
    let mut text = format!(
        "{backend}, seed {seed:#x}, {lane:?}, after {} operations:\n  {}\n",
        found.made.len(),
        found.what
    );
    let Some(mut least) = fails(backend, &world, &found.made) else {
        text.push_str("It does not fail again alone. The last operations were:\n");
        let last = found.made.len().saturating_sub(40);
        steps(&mut text, &found.made[last..]);
        return text;
    };
    let (mut parts, mut replays) = (2, 0);
    while least.made.len() > 1 && replays < REPLAYS_MAX {
        let length = least.made.len().div_ceil(parts);
        let mut shorter = None;
        for start in (0..least.made.len()).step_by(length) {
            let end = (start + length).min(least.made.len());
            let rest = [&least.made[..start], &least.made[end..]].concat();
            replays += 1;
            shorter = fails(backend, &world, &rest);
            if shorter.is_some() || replays >= REPLAYS_MAX {
                break;
            }
        }
        match shorter {
            // What was made may be less than what was asked for.
            Some(failure) => (least, parts) = (failure, (parts - 1).max(2)),
            None if length == 1 => break,
            None => parts = (parts * 2).min(least.made.len()),
        }
    }
    writeln!(text, "The shortest sequence that fails ({replays} replays):").unwrap();
    steps(&mut text, &least.made);
    writeln!(text, "  => {}", least.what).unwrap();
    text
}

fn steps(text: &mut String, ops: &[Op]) {
    for (number, op) in ops.iter().enumerate() {
        writeln!(text, "  {:3}. {op}", number + 1).unwrap();
    }
}
