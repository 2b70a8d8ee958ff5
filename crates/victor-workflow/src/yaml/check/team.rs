//! What a team needs, each formation its own.

use super::super::decode::{Decoder, unknown};
use super::super::place::At;
use super::super::team::{Formation, Member, TeamNode};

/// Checks a team.
pub(super) fn check(node: &TeamNode, decoder: &mut Decoder<'_>) {
    names(node, decoder);
    members(node, decoder);
    settings(node, decoder);
    for member in &node.members {
        if let Some(t) = member.temperature.as_ref().filter(|t| !(0.0..=2.0).contains(&t.value)) {
            decoder.mistake(t.place, format!("`temperature` is {}; allowed are 0 to 2", t.value));
        }
    }
}

fn names(node: &TeamNode, decoder: &mut Decoder<'_>) {
    for (i, member) in node.members.iter().enumerate() {
        let name = &member.name;
        let fine = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if !(1..=48).contains(&name.len()) || !name.chars().all(fine) {
            let message =
                format!("`{}` is no name for a member: use up to 48 letters, digits, `_` and `-`", name.value);
            decoder.mistake(name.place, message);
        }
        if name.as_str() == "nobody" && node.team.value == Formation::Debate {
            decoder.mistake(name.place, "`nobody` is who has won a debate without a winner: name the member otherwise");
        }
        if node.members[..i].iter().any(|m| m.name.value == name.value) {
            decoder.mistake(name.place, format!("two members are called `{}`", name.value));
        }
    }
    for name in [&node.lead, &node.judge].into_iter().flatten() {
        if !node.members.iter().any(|m| m.name.value == name.value) {
            decoder.mistake(name.place, unknown("member", name, node.members.iter().map(|m| m.name.as_str())));
        }
    }
}

fn members(node: &TeamNode, decoder: &mut Decoder<'_>) {
    let formation = node.team.value;
    let has_part = |m: &Member| {
        let is = |part: &Option<At<String>>| part.as_ref().is_some_and(|p| p.value == m.name.value);
        is(&node.lead) || is(&node.judge)
    };
    let workers = node.members.iter().filter(|m| !has_part(m)).count();
    let place = node.team.place;
    match formation {
        Formation::Hierarchical if node.lead.is_none() => decoder.mistake(place, "a hierarchical team needs a `lead`"),
        Formation::Debate if node.judge.is_none() => decoder.mistake(place, "a debate needs a `judge`"),
        _ => {}
    }
    match formation {
        Formation::Debate | Formation::Consensus if workers < 2 => {
            let message = format!("a {} needs two members at least, here are {workers}", formation.name());
            decoder.mistake(place, message);
        }
        Formation::Reflection if workers != 2 => {
            let message = format!("a reflection has two members, who works and who criticises; here are {workers}");
            decoder.mistake(place, message);
        }
        _ if workers == 0 => decoder.mistake(place, "a team needs members"),
        _ => {}
    }
}

fn settings(node: &TeamNode, decoder: &mut Decoder<'_>) {
    let formation = node.team.value;
    let leads = matches!(formation, Formation::Hierarchical | Formation::Parallel | Formation::Flat);
    let has_rounds =
        matches!(formation, Formation::Flat | Formation::Debate | Formation::Consensus | Formation::Reflection);
    let keys = [
        ("lead", node.lead.as_ref().map(|v| v.place), leads),
        ("judge", node.judge.as_ref().map(|v| v.place), formation == Formation::Debate),
        ("min_agreement", node.min_agreement.as_ref().map(|v| v.place), formation == Formation::Consensus),
        ("rounds", node.rounds.as_ref().map(|v| v.place), has_rounds),
    ];
    for (key, place, acts) in keys {
        if let (Some(place), false) = (place, acts) {
            decoder.mistake(place, format!("`{key}` means nothing in the formation `{}`", formation.name()));
        }
    }
    if let Some(rounds) = node.rounds.as_ref().filter(|r| !(1..=100).contains(&r.value)) {
        decoder.mistake(rounds.place, format!("`rounds` is {}; 1 to 100 are allowed", rounds.value));
    }
    if let Some(share) = node.min_agreement.as_ref().filter(|s| !(s.value > 0.0 && s.value <= 1.0)) {
        decoder.mistake(share.place, format!("`min_agreement` is {}; it is a share above 0 and up to 1", share.value));
    }
}
