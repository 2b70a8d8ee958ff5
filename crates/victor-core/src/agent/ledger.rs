//! What a run has used, its children's part included: one account, shared downward. A part of a run has an account of
//! its own beside it, which only says what the part used.

use std::sync::{Arc, Mutex, PoisonError};

use crate::provider::Model;
use crate::usage::{NanoUsd, Price, Spent, Usage};

/// The account of a root run, or of a part of one.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    account: Mutex<Account>,
    above: Option<Arc<Ledger>>,
}

#[derive(Debug, Default)]
struct Account {
    spent: Spent,
    unpriced: bool,
}

impl Ledger {
    /// The account of a run that goes on, with a model of this price.
    pub(crate) fn resumed(spent: Spent, price: Option<&Price>) -> Self {
        let account = Account { spent, unpriced: price.is_none() && spent.usage.total() > 0 };
        Self { account: Mutex::new(account), above: None }
    }

    /// The account of a run that goes on, all of whose calls so far had prices.
    pub(crate) fn priced(spent: Spent) -> Self {
        Self { account: Mutex::new(Account { spent, unpriced: false }), above: None }
    }

    /// The account of a part of a run: what is booked here is booked above too.
    pub(crate) fn part(above: Arc<Self>) -> Self {
        Self { account: Mutex::default(), above: Some(above) }
    }

    /// Counts a model call that answered.
    pub(crate) fn answered(&self) {
        self.account.lock().unwrap_or_else(PoisonError::into_inner).spent.turns += 1;
        if let Some(above) = &self.above {
            above.answered();
        }
    }

    /// Books one model call.
    pub(crate) fn book(&self, model: &Model, usage: Usage) {
        {
            let mut account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
            account.spent.usage += usage;
            match &model.info.price {
                Some(price) => account.spent.cost += price.cost(&usage),
                None => account.unpriced |= usage.total() > 0,
            }
        }
        if let Some(above) = &self.above {
            above.book(model, usage);
        }
    }

    /// All that was booked for the whole run.
    pub(crate) fn spent(&self) -> Spent {
        match &self.above {
            Some(above) => above.spent(),
            None => self.own(),
        }
    }

    /// What was booked for this part.
    pub(crate) fn own(&self) -> Spent {
        self.account.lock().unwrap_or_else(PoisonError::into_inner).spent
    }

    /// The whole run's cost, if the price of every call is known.
    pub(crate) fn cost(&self) -> Option<NanoUsd> {
        match &self.above {
            Some(above) => above.cost(),
            None => self.own_cost(),
        }
    }

    /// The cost of this part, if the price of every call is known.
    pub(crate) fn own_cost(&self) -> Option<NanoUsd> {
        let account = self.account.lock().unwrap_or_else(PoisonError::into_inner);
        (!account.unpriced).then_some(account.spent.cost)
    }
}
