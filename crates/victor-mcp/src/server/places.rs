//! Places of clients over HTTP: so many for all, so many for one owner. A session that nobody uses makes room for the
//! next one of its owner.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

tokio::task_local! {
    /// The place of the request that is looked at, for the session that serves it.
    pub(crate) static PLACE: Option<Arc<Place>>;
}

/// Sessions at the same time at most, with the requests that belong to none.
const ALL: usize = 1024;
/// Those of one owner.
const OWN: usize = 256;

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// For nobody.
    All,
    /// For this owner.
    Own,
}

/// All places that are taken.
#[derive(Default)]
pub(crate) struct Places(Mutex<Taken>);

#[derive(Default)]
struct Taken {
    /// Counts places and uses of them.
    count: u64,
    places: BTreeMap<u64, Seat>,
}

/// One of them.
struct Seat {
    owner: Arc<str>,
    /// The session that has it, once it is open.
    session: Option<Arc<str>>,
    used: u64,
    /// Calls under way.
    calls: usize,
}

/// A place, until dropped.
pub(crate) struct Place {
    places: Arc<Places>,
    number: u64,
}

/// A call under way, until dropped: its session gives way to none.
pub(crate) struct Working(Arc<Place>);

impl Places {
    /// A place for a request of this owner, and the session that has to end for it.
    pub(crate) fn take(self: &Arc<Self>, owner: &Arc<str>) -> Result<(Arc<Place>, Option<Arc<str>>), Full> {
        let mut taken = self.lock();
        let own = taken.places.values().filter(|seat| seat.owner == *owner).count();
        let full = if own >= OWN { Some(Full::Own) } else { (taken.places.len() >= ALL).then_some(Full::All) };
        let mut ends = None;
        if let Some(full) = full {
            let idle = taken.places.iter().filter(|(_, seat)| seat.owner == *owner && seat.is_idle());
            let oldest = idle.min_by_key(|(_, seat)| seat.used).map(|(number, _)| *number).ok_or(full)?;
            ends = taken.places.remove(&oldest).and_then(|seat| seat.session);
        }
        let number = taken.next();
        let seat = Seat { owner: Arc::clone(owner), session: None, used: number, calls: 0 };
        taken.places.insert(number, seat);
        Ok((Arc::new(Place { places: Arc::clone(self), number }), ends))
    }

    /// A session is used again.
    pub(crate) fn uses(&self, session: &str) {
        let mut taken = self.lock();
        let used = taken.next();
        let seat = taken.places.values_mut().find(|seat| seat.session.as_deref() == Some(session));
        if let Some(seat) = seat {
            seat.used = used;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn next(&mut self) -> u64 {
        self.count += 1;
        self.count
    }
}

impl Seat {
    fn is_idle(&self) -> bool {
        self.session.is_some() && self.calls == 0
    }
}

impl Place {
    /// It belongs to this session from now on.
    pub(crate) fn belongs_to(&self, session: &str) {
        self.change(|seat| seat.session = Some(Arc::from(session)));
    }

    /// A call begins in it.
    pub(crate) fn works(self: &Arc<Self>) -> Working {
        self.change(|seat| seat.calls += 1);
        Working(Arc::clone(self))
    }

    fn change(&self, change: impl FnOnce(&mut Seat)) {
        if let Some(seat) = self.places.lock().places.get_mut(&self.number) {
            change(seat);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().places.remove(&self.number);
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.change(|seat| seat.calls = seat.calls.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(places: &Arc<Places>, owner: &str, id: usize) -> (Arc<Place>, Option<Arc<str>>) {
        let (place, ends) = places.take(&Arc::from(owner)).unwrap();
        place.belongs_to(&format!("{owner}-{id}"));
        (place, ends)
    }

    #[test]
    fn the_session_unused_for_longest_gives_way_to_the_next_one_of_its_owner() {
        let places = Arc::<Places>::default();
        let held: Vec<_> = (0..OWN).map(|id| opened(&places, "ada", id)).collect();
        assert!(held.iter().all(|(_, ends)| ends.is_none()));
        places.uses("ada-0");
        let working = held[1].0.works();
        let (next, ends) = opened(&places, "ada", OWN);
        assert_eq!(ends.as_deref(), Some("ada-2"));
        drop(working);
        let (_last, ends) = opened(&places, "ada", OWN + 1);
        assert_eq!(ends.as_deref(), Some("ada-1"));
        assert!(opened(&places, "eve", 0).1.is_none());
        drop(next);
        assert!(opened(&places, "ada", OWN + 2).1.is_none(), "one has left");
    }

    #[test]
    fn sessions_at_work_give_way_to_nobody_and_no_owner_to_another() {
        let places = Arc::<Places>::default();
        let held: Vec<_> = (0..OWN).map(|id| opened(&places, "ada", id).0).collect();
        let working: Vec<_> = held.iter().map(|place| place.works()).collect();
        assert!(matches!(places.take(&Arc::from("ada")), Err(Full::Own)));
        drop(working);
        let others: Vec<_> = (0..ALL - OWN).map(|n| opened(&places, &format!("o{}", n / OWN), n).0).collect();
        assert!(matches!(places.take(&Arc::from("eve")), Err(Full::All)));
        assert!(opened(&places, "ada", OWN).1.is_some());
        drop(others);
        assert!(places.take(&Arc::from("eve")).is_ok());
    }
}
