//! What a run has used, its children's part included: one account, shared downward.

use std::sync::{Mutex, PoisonError};

use crate::provider::Model;
use crate::usage::{NanoUsd, Price, Spent, Usage};

/// The account of a root run.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Account>);

#[derive(Debug, Default)]
struct Account {
    spent: Spent,
    unpriced: bool,
}

impl Ledger {
    /// The account of a run that goes on, with a model of this price.
    pub(crate) fn resumed(spent: Spent, price: Option<&Price>) -> Self {
        Self(Mutex::new(Account { spent, unpriced: price.is_none() && spent.usage.total() > 0 }))
    }

    /// The account of a run that goes on, all of whose calls so far had prices.
    pub(crate) fn priced(spent: Spent) -> Self {
        Self(Mutex::new(Account { spent, unpriced: false }))
    }

    /// Counts a model call that answered.
    pub(crate) fn answered(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).spent.turns += 1;
    }

    /// Books one model call.
    pub(crate) fn book(&self, model: &Model, usage: Usage) {
        let mut account = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        account.spent.usage += usage;
        match &model.info.price {
            Some(price) => account.spent.cost += price.cost(&usage),
            None => account.unpriced |= usage.total() > 0,
        }
    }

    /// All that was booked.
    pub(crate) fn spent(&self) -> Spent {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).spent
    }

    /// The cost, if the price of every call is known.
    pub(crate) fn cost(&self) -> Option<NanoUsd> {
        let account = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (!account.unpriced).then_some(account.spent.cost)
    }
}
