//! What a run and each part of it has used: accounts in a tree, where what a part uses counts for all above it.

use std::iter::successors;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::provider::Model;
use crate::usage::{Budget, Limit, NanoUsd, Price, Spent, Usage};

/// The account of a root run, or of a part of one.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    account: Mutex<Account>,
    budget: Budget,
    above: Option<Arc<Self>>,
}

#[derive(Debug, Default)]
struct Account {
    spent: Spent,
    unpriced: bool,
    /// Model calls that have not answered yet, and what their requests are expected to use.
    under_way: Spent,
}

impl Ledger {
    /// The account of a run that goes on, with a model of this price.
    pub(crate) fn resumed(spent: Spent, price: Option<&Price>, budget: Budget) -> Self {
        let unpriced = price.is_none() && spent.usage.total() > 0;
        Self { account: Mutex::new(Account { spent, unpriced, ..Account::default() }), budget, above: None }
    }

    /// The account of a run that goes on, all of whose calls so far had prices.
    pub(crate) fn priced(spent: Spent, budget: Budget) -> Self {
        Self { account: Mutex::new(Account { spent, ..Account::default() }), budget, above: None }
    }

    /// The account of a part, which may use this much of what is above it. What it has spent before is in the account
    /// above already.
    pub(crate) fn part(above: &Arc<Self>, budget: Budget, spent: Spent) -> Self {
        let account = Account { spent, ..Account::default() };
        Self { account: Mutex::new(account), budget, above: Some(Arc::clone(above)) }
    }

    /// The account of the whole run.
    pub(crate) fn root(&self) -> &Self {
        self.up().last().unwrap_or(self)
    }

    /// Makes room for a model call with a request of this many tokens, in this account and in all above it. Calls of
    /// others that are under way count as if they had answered, so that many at once cannot pass a limit together.
    ///
    /// # Errors
    /// The limit that is reached.
    pub(crate) fn begin_call(self: &Arc<Self>, model: &Model, tokens: u64) -> Result<CallUnderWay, Limit> {
        // Always from a part upward, so that two cannot wait for each other.
        let mut accounts: Vec<_> = self.up().map(|ledger| (ledger.lock(), ledger.budget)).collect();
        for (account, budget) in &accounts {
            account.reached(budget).map_or(Ok(()), Err)?;
        }
        let usage = Usage { input: tokens, ..Usage::default() };
        let cost = model.info.price.map(|price| price.cost(&usage)).unwrap_or_default();
        let expected = Spent { usage, cost, turns: 1 };
        for (account, _) in &mut accounts {
            account.under_way = sum(account.under_way, expected);
        }
        Ok(CallUnderWay { ledger: Arc::clone(self), expected })
    }

    /// Books what was used beside an answer: by a call that broke off, or by a compaction.
    pub(crate) fn book(&self, model: &Model, usage: Usage) {
        for ledger in self.up() {
            ledger.lock().book(model, usage);
        }
    }

    /// What may still be used here, and of all above it; calls under way count as if they had answered.
    pub(crate) fn left(&self) -> Budget {
        self.up().fold(Budget::default(), |left, ledger| {
            let account = ledger.lock();
            left.within(&ledger.budget.without(&sum(account.spent, account.under_way)))
        })
    }

    /// All that was booked here.
    pub(crate) fn spent(&self) -> Spent {
        self.lock().spent
    }

    /// The cost, if the price of every call is known.
    pub(crate) fn cost(&self) -> Option<NanoUsd> {
        let account = self.lock();
        (!account.unpriced).then_some(account.spent.cost)
    }

    /// This account and all above it.
    fn up(&self) -> impl Iterator<Item = &Self> {
        successors(Some(self), |ledger| ledger.above.as_deref())
    }

    fn lock(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    fn book(&mut self, model: &Model, usage: Usage) {
        self.spent.usage += usage;
        match &model.info.price {
            Some(price) => self.spent.cost += price.cost(&usage),
            None => self.unpriced |= usage.total() > 0,
        }
    }

    fn reached(&self, budget: &Budget) -> Option<Limit> {
        let Spent { usage, cost, turns } = sum(self.spent, self.under_way);
        if budget.max_turns.is_some_and(|max| turns >= max) {
            return Some(Limit::Turns);
        }
        if budget.max_tokens.is_some_and(|max| usage.total() >= max) {
            return Some(Limit::Tokens);
        }
        budget.max_cost.is_some_and(|max| cost >= max).then_some(Limit::Cost)
    }
}

/// The room of a model call that has not answered yet; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct CallUnderWay {
    ledger: Arc<Ledger>,
    expected: Spent,
}

impl CallUnderWay {
    /// Books the answer in place of what was expected of it.
    pub(crate) fn answered(mut self, model: &Model, usage: Usage) {
        let expected = std::mem::take(&mut self.expected);
        for ledger in self.ledger.up() {
            let mut account = ledger.lock();
            account.under_way = difference(account.under_way, expected);
            account.spent.turns += 1;
            account.book(model, usage);
        }
    }
}

impl Drop for CallUnderWay {
    fn drop(&mut self) {
        for ledger in self.ledger.up() {
            let mut account = ledger.lock();
            account.under_way = difference(account.under_way, self.expected);
        }
    }
}

fn sum(mut a: Spent, b: Spent) -> Spent {
    a.usage += b.usage;
    a.cost += b.cost;
    a.turns = a.turns.saturating_add(b.turns);
    a
}

fn difference(a: Spent, b: Spent) -> Spent {
    let usage = Usage { input: a.usage.input.saturating_sub(b.usage.input), ..a.usage };
    Spent { usage, cost: NanoUsd(a.cost.0.saturating_sub(b.cost.0)), turns: a.turns.saturating_sub(b.turns) }
}
