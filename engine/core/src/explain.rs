//! What each node of a rule says of a profile, and what it measured.

use crate::decimals::{from_micros, json_number, quotient};
use crate::leaves::Measure;
use crate::program::{bucket_of, read, Cond, Program};
use crate::series::Reading;
use crate::state::State;
use crate::value::Value;
use crate::walking::measured;

/// Whether each node of a segment's rule holds at the state's instant, and what it measured (an event's measure, a trait,
/// a bucket's number; None where there is nothing to show): a node before its children, in the order of the rule.
pub fn nodes(program: &Program, state: &mut State, cond: &Cond) -> Vec<(bool, Option<Value>)> {
    let mut found = Vec::new();
    visit(program, state, cond, &mut found);
    found
}

fn visit(program: &Program, state: &mut State, cond: &Cond, found: &mut Vec<(bool, Option<Value>)>) {
    let truth = program.holds(cond, state);
    found.push((truth, value(program, state, cond)));
    match cond {
        Cond::All(children) | Cond::Any(children) => {
            children.iter().for_each(|child| visit(program, state, child, found));
        }
        Cond::Not(child) => visit(program, state, child, found),
        _ => {}
    }
}

fn value(program: &Program, state: &mut State, cond: &Cond) -> Option<Value> {
    match cond {
        Cond::Event { leaf, measure, .. } => match (measure, measured(program, state, *leaf)) {
            (_, Reading::Count(count)) => Some(Value::Int(count)),
            (Measure::Avg, Reading::Sums(total, count)) => (count > 0).then(|| quotient(total, count)),
            (_, Reading::Sums(total, _)) => Some(from_micros(total)),
            (_, Reading::Number(number)) => number.map(json_number),
            (_, Reading::Unmeasured | Reading::Held) => None,
        },
        Cond::Trait(test) => read(state, &program.tests[*test].test.path).cloned(),
        Cond::Bucket { salt, .. } => Some(Value::Int(bucket_of(salt, &state.profile_id) as i64)),
        _ => None,
    }
}
