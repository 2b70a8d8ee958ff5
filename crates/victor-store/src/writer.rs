//! The one thread that writes. It takes all that has queued and commits it together (group commit), so many callers
//! share the price of one commit; each is answered after it.

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Semaphore, oneshot};
use victor_core::error::SessionError;

use crate::database::Database;
use crate::fault::Fault;
use crate::write::{self, Release};

/// Calls that may wait at once; further ones wait for room.
const ROOM: usize = 1024;
/// Calls that one commit takes at most.
const BATCH: usize = 256;

/// Hands work to the writing thread, which starts with the first call and ends, all work done, when the last hand to
/// it is gone.
#[derive(Debug)]
pub(crate) struct Writer {
    database: Arc<Database>,
    room: Arc<Semaphore>,
    queue: Mutex<Option<Queue>>,
}

/// A hand to the writing thread.
#[derive(Clone, Debug)]
pub(crate) struct Queue(UnboundedSender<Work>);

impl Queue {
    /// Gives a claim back. Never waits, so that it can be called while dropping.
    pub(crate) fn release(&self, release: Release) {
        // The thread lives as long as this hand to it; if it died of a defect, there is nobody left to tell.
        let _ = self.0.send(Work::Release(release));
    }
}

impl Writer {
    pub(crate) fn new(database: Arc<Database>) -> Self {
        Self { database, room: Arc::new(Semaphore::new(ROOM)), queue: Mutex::new(None) }
    }

    /// Does `work` inside a transaction and answers when that is committed. If it fails, nothing of it is kept.
    pub(crate) async fn write<T, F>(&self, work: F) -> Result<T, SessionError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    {
        let permit = Arc::clone(&self.room).acquire_owned().await;
        let (reply, answer) = oneshot::channel();
        let call = Call { work: Some(work), done: None, reply };
        self.send(Work::Call(Box::new(call)))?;
        let answer = answer.await.map_err(|_| self.ended())?;
        drop(permit);
        answer
    }

    /// Gives space that is no longer used back to the file system.
    pub(crate) async fn shrink(&self) -> Result<(), SessionError> {
        let (reply, answer) = oneshot::channel();
        self.send(Work::Shrink(reply))?;
        answer.await.map_err(|_| self.ended())
    }

    /// Writes what has queued and closes the file; a later call opens it again.
    pub(crate) async fn close(&self) -> Result<(), SessionError> {
        let (reply, answer) = oneshot::channel();
        self.send(Work::Close(reply))?;
        answer.await.map_err(|_| self.ended())
    }

    /// A hand of one's own to the thread.
    pub(crate) fn queue(&self) -> Result<Queue, SessionError> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = &*queue {
            return Ok(queue.clone());
        }
        let (sender, work) = unbounded_channel();
        let thread = Thread { database: Arc::clone(&self.database), conn: None, releases: Vec::new() };
        std::thread::Builder::new()
            .name("victor-store".to_owned())
            .spawn(move || thread.run(work))
            .map_err(|e| Fault::Io(e).about(self.database.path()))?;
        Ok(queue.insert(Queue(sender)).clone())
    }

    fn send(&self, work: Work) -> Result<(), SessionError> {
        self.queue()?.0.send(work).map_err(|_| self.ended())
    }

    fn ended(&self) -> SessionError {
        Fault::Ended.about(self.database.path())
    }
}

/// What the thread is asked to do.
enum Work {
    Call(Box<dyn Job>),
    Release(Release),
    Shrink(oneshot::Sender<()>),
    Close(oneshot::Sender<()>),
}

/// A part of a transaction.
enum Step {
    Call(Box<dyn Job>),
    Release(Release),
}

/// What comes after a transaction.
enum After {
    Shrink(oneshot::Sender<()>),
    Close(oneshot::Sender<()>),
}

/// A call that waits for its answer, whatever its types.
trait Job: Send {
    /// Does it; tells whether it may be committed.
    fn run(&mut self, conn: &Connection, database: &Database) -> Commit;
    /// Answers the caller, after the commit or its failure.
    fn answer(self: Box<Self>, committed: Result<(), SessionError>);
}

enum Commit {
    Yes,
    No,
}

struct Call<T, F> {
    work: Option<F>,
    done: Option<Result<T, SessionError>>,
    reply: oneshot::Sender<Result<T, SessionError>>,
}

impl<T, F> Job for Call<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T, Fault> + Send,
{
    fn run(&mut self, conn: &Connection, database: &Database) -> Commit {
        let Some(work) = self.work.take() else { return Commit::No };
        let done = work(conn).map_err(|fault| fault.about(database.path()));
        let commit = if done.is_ok() { Commit::Yes } else { Commit::No };
        self.done = Some(done);
        commit
    }

    fn answer(self: Box<Self>, committed: Result<(), SessionError>) {
        let answer = match (committed, self.done) {
            (Err(e), None | Some(Ok(_))) => Err(e),
            (_, Some(done)) => done,
            // A call is in no committed batch without having run.
            (Ok(()), None) => return,
        };
        // A caller that has gone away does not want to know; what it asked for is done all the same.
        let _ = self.reply.send(answer);
    }
}

/// The thread's own state.
struct Thread {
    database: Arc<Database>,
    conn: Option<Connection>,
    /// Claims given back whose rows could not be deleted yet.
    releases: Vec<Release>,
}

impl Thread {
    fn run(mut self, mut queue: UnboundedReceiver<Work>) {
        while let Some(first) = queue.blocking_recv() {
            // What has queued meanwhile, in its order; earlier releases that failed come first.
            let mut batch: Vec<Step> = self.releases.drain(..).map(Step::Release).collect();
            let mut next = Some(first);
            let mut after = None;
            while let Some(work) = next.take() {
                match work {
                    Work::Call(call) => batch.push(Step::Call(call)),
                    Work::Release(release) => batch.push(Step::Release(release)),
                    Work::Shrink(reply) => after = Some(After::Shrink(reply)),
                    Work::Close(reply) => after = Some(After::Close(reply)),
                }
                if after.is_none() && batch.len() < BATCH {
                    next = queue.try_recv().ok();
                }
            }
            self.commit(batch);
            if let Some(after) = after {
                self.tidy(after);
            }
        }
    }

    fn commit(&mut self, mut batch: Vec<Step>) {
        if batch.is_empty() {
            return;
        }
        let committed = self.in_transaction(&mut batch).map_err(|fault| fault.about(self.database.path()));
        if let Err(e) = &committed {
            tracing::warn!(error = %e, "the session database was not written");
        }
        for step in batch {
            match step {
                Step::Call(call) => call.answer(committed.clone()),
                Step::Release(release) if committed.is_err() => self.releases.push(release),
                Step::Release(_) => {}
            }
        }
    }

    fn tidy(&mut self, after: After) {
        let reply = match after {
            After::Shrink(reply) => {
                self.shrink();
                reply
            }
            After::Close(reply) => {
                self.conn = None;
                reply
            }
        };
        // Nobody waits any more, perhaps; it is done all the same.
        let _ = reply.send(());
    }

    fn in_transaction(&mut self, batch: &mut [Step]) -> Result<(), Fault> {
        let conn = match self.conn.take() {
            Some(conn) => self.conn.insert(conn),
            None => self.conn.insert(self.database.open_to_write()?),
        };
        execute(conn, "BEGIN IMMEDIATE")?;
        let done = run_all(conn, &self.database, batch).and_then(|commit| match commit {
            Commit::Yes => execute(conn, "COMMIT"),
            // A full disk may have ended it already.
            Commit::No if conn.is_autocommit() => Ok(()),
            Commit::No => execute(conn, "ROLLBACK"),
        });
        if done.is_err() && !conn.is_autocommit() {
            execute(conn, "ROLLBACK")?;
        }
        done
    }

    /// What cannot be given back now is given back another time: nobody waits for it.
    fn shrink(&self) {
        let Some(conn) = &self.conn else { return };
        let freed = conn
            .prepare("PRAGMA incremental_vacuum")
            .and_then(|mut vacuum| {
                // Each step frees a page.
                let mut pages = vacuum.query([])?;
                while pages.next()?.is_some() {}
                Ok(())
            })
            .and_then(|()| conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())));
        if let Err(e) = freed {
            tracing::debug!(error = %e, "the session database could not be made smaller");
        }
    }
}

fn run_all(conn: &Connection, database: &Database, batch: &mut [Step]) -> Result<Commit, Fault> {
    // One call alone needs no transaction of its own inside of this one.
    if let [Step::Call(call)] = batch {
        return Ok(call.run(conn, database));
    }
    for step in batch {
        let call = match step {
            Step::Release(release) => {
                write::release(conn, release)?;
                continue;
            }
            Step::Call(call) => call,
        };
        execute(conn, "SAVEPOINT one_call")?;
        if matches!(call.run(conn, database), Commit::No) {
            // A full disk may have ended the whole transaction; then this fails and so does the batch.
            execute(conn, "ROLLBACK TO one_call")?;
        }
        execute(conn, "RELEASE one_call")?;
    }
    Ok(Commit::Yes)
}

fn execute(conn: &Connection, sql: &str) -> Result<(), Fault> {
    conn.prepare_cached(sql)?.execute([])?;
    Ok(())
}
