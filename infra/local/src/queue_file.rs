//! The file of the queues: its tables, and every statement on them. Times are milliseconds since 1970.

use std::path::Path;

use app::port::QueueName;
use rusqlite::{Connection, OptionalExtension, Row, named_params, params};

use crate::queue::queue_name;

/// How long a received message is hidden before it comes again.
const VISIBILITY_MS: i64 = 30_000;
/// The wait before a message comes again after it failed once; doubles each time.
const RETRY_MS: i64 = 200;
/// The longest wait.
const RETRY_MS_MAX: i64 = 30_000;
/// A message that failed so often becomes a dead letter. What AWS advises at least.
const RECEIVES_MAX: u32 = 5;
/// What one batch carries, if it is more than one message.
const BATCH_BYTES_MAX: usize = 256 * 1024;
/// One in so many messages arrives twice.
const REPEATED_ONE_IN: u64 = 20;
/// Dead letters shown.
const DEAD_LETTERS_MAX: u32 = 100;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS messages (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        queue TEXT NOT NULL,
        organization TEXT,
        enqueued_at INTEGER NOT NULL,
        visible_at INTEGER NOT NULL,
        is_leased INTEGER NOT NULL DEFAULT 0,
        is_repeat INTEGER NOT NULL DEFAULT 0,
        receives INTEGER NOT NULL DEFAULT 0,
        body TEXT NOT NULL
    );
    CREATE INDEX IF NOT EXISTS messages_by_time ON messages (queue, visible_at, is_leased);
    CREATE TABLE IF NOT EXISTS dead_letters (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        queue TEXT NOT NULL,
        reason TEXT NOT NULL,
        receives INTEGER NOT NULL,
        at INTEGER NOT NULL,
        body TEXT NOT NULL,
        UNIQUE (queue, body)
    );
";

/// A message to be sent.
#[derive(Clone, Debug)]
pub(crate) struct NewMessage {
    pub(crate) queue: QueueName,
    pub(crate) organization: Option<String>,
    pub(crate) body: String,
}

/// A message that was received and has to be confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Names it in the queue.
    pub id: i64,
    /// Whose it is.
    pub organization: Option<String>,
    /// When it was sent, by the real clock.
    pub enqueued_at_ms: i64,
    /// How often it was received, this time included.
    pub receives: u32,
    /// What it says.
    pub body: String,
}

/// How many messages a queue has, by what they wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Can be received now.
    pub waiting: u64,
    /// Failed, and come again after a while.
    pub delayed: u64,
    /// Received and not yet confirmed.
    pub in_flight: u64,
    /// Given up on.
    pub dead: u64,
}

/// A message that was given up on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Why.
    pub reason: String,
    /// How often it was received.
    pub receives: u32,
    /// When it was given up on, by the real clock.
    pub at_ms: i64,
    /// What it says.
    pub body: String,
}

/// Opens the file. Ends the leases of an earlier process, which do not count against their messages.
pub(crate) fn open(path: &Path, now: i64) -> rusqlite::Result<Connection> {
    let file = Connection::open(path)?;
    // A killed process loses nothing; only a power cut may lose the last moments, as in the store.
    file.pragma_update(None, "journal_mode", "WAL")?;
    file.pragma_update(None, "synchronous", "NORMAL")?;
    file.execute_batch(SCHEMA)?;
    file.execute(
        "UPDATE messages SET is_leased = 0, visible_at = ?1, receives = receives - 1 WHERE is_leased = 1",
        [now],
    )?;
    Ok(file)
}

/// Adds messages, all or none.
pub(crate) fn send(file: &mut Connection, messages: &[NewMessage], now: i64) -> rusqlite::Result<()> {
    let transaction = file.transaction()?;
    {
        let mut insert = transaction.prepare_cached(
            "INSERT INTO messages (queue, organization, enqueued_at, visible_at, body)
             VALUES (?1, ?2, ?3, ?3, ?4)",
        )?;
        for message in messages {
            insert.execute(params![queue_name(message.queue), message.organization, now, message.body])?;
        }
    }
    transaction.commit()
}

/// Leases the visible messages that have waited longest.
pub(crate) fn receive(
    file: &mut Connection,
    queue: QueueName,
    max: usize,
    now: i64,
) -> rusqlite::Result<Vec<Received>> {
    let transaction = file.transaction()?;
    let mut batch = Vec::new();
    {
        let mut select = transaction.prepare_cached(
            "SELECT id, organization, enqueued_at, receives + 1 AS receives, body FROM messages
             WHERE queue = ?1 AND visible_at <= ?2 ORDER BY visible_at",
        )?;
        let mut lease = transaction.prepare_cached(
            "UPDATE messages SET visible_at = ?2, is_leased = 1, receives = ?3 WHERE id = ?1",
        )?;
        let mut bytes = 0;
        for message in select.query_map(params![queue_name(queue), now], received)? {
            let message = message?;
            bytes += message.body.len();
            if batch.len() == max || (bytes > BATCH_BYTES_MAX && !batch.is_empty()) {
                break;
            }
            batch.push(message);
        }
        for message in &batch {
            lease.execute(params![message.id, now + VISIBILITY_MS, message.receives])?;
        }
    }
    transaction.commit()?;
    Ok(batch)
}

fn received(row: &Row) -> rusqlite::Result<Received> {
    Ok(Received {
        id: row.get("id")?,
        organization: row.get("organization")?,
        enqueued_at_ms: row.get("enqueued_at")?,
        receives: row.get("receives")?,
        body: row.get("body")?,
    })
}

/// Deletes messages that were handled. Says whether one of them was kept, to arrive a second time.
pub(crate) fn delete(file: &mut Connection, ids: &[i64], now: i64) -> rusqlite::Result<bool> {
    let transaction = file.transaction()?;
    let mut kept = 0;
    {
        let mut delete = transaction.prepare_cached("DELETE FROM messages WHERE id = ?1")?;
        let mut keep = transaction.prepare_cached(
            "UPDATE messages SET is_repeat = 1, is_leased = 0, visible_at = ?2, receives = 0
             WHERE id = ?1 AND is_repeat = 0",
        )?;
        for id in ids {
            let kept_now = if arrives_twice(*id) { keep.execute(params![id, now])? } else { 0 };
            if kept_now == 0 {
                delete.execute([id])?;
            }
            kept += kept_now;
        }
    }
    transaction.commit()?;
    Ok(kept > 0)
}

/// Whether a message is one of those that arrive twice. The same messages in every run.
fn arrives_twice(id: i64) -> bool {
    // Fibonacci hashing spreads consecutive ids evenly.
    let spread = id.cast_unsigned().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    spread.is_multiple_of(REPEATED_ONE_IN)
}

/// Lets messages come again later, or gives them up if they have come often enough.
pub(crate) fn retry(file: &mut Connection, ids: &[i64], reason: &str, now: i64) -> rusqlite::Result<()> {
    let transaction = file.transaction()?;
    for id in ids {
        let receives = "SELECT receives FROM messages WHERE id = ?1";
        let receives: Option<u32> = transaction.query_row(receives, [id], |row| row.get(0)).optional()?;
        match receives {
            None => {}
            Some(RECEIVES_MAX..) => {
                bury_message(&transaction, *id, reason, now)?;
            }
            Some(receives) => {
                transaction.execute(
                    "UPDATE messages SET is_leased = 0, visible_at = ?2 WHERE id = ?1",
                    params![id, now + retry_ms(receives)],
                )?;
            }
        }
    }
    transaction.commit()
}

/// The wait after a message was received so often.
fn retry_ms(receives: u32) -> i64 {
    let doubled = 2_i64.checked_pow(receives.saturating_sub(1)).and_then(|times| RETRY_MS.checked_mul(times));
    doubled.map_or(RETRY_MS_MAX, |wait| wait.min(RETRY_MS_MAX))
}

fn bury_message(file: &Connection, id: i64, reason: &str, now: i64) -> rusqlite::Result<()> {
    let select = "SELECT queue, receives, body FROM messages WHERE id = ?1";
    let message = |row: &Row| Ok((row.get("queue")?, row.get("receives")?, row.get("body")?));
    let (queue, receives, body): (String, u32, String) = file.query_row(select, [id], message)?;
    bury(file, &queue, &body, reason, receives, now)?;
    file.execute("DELETE FROM messages WHERE id = ?1", [id])?;
    Ok(())
}

/// Keeps a message that was given up on, with the reason. The same message again is the same dead letter.
pub(crate) fn bury(
    file: &Connection,
    queue: &str,
    body: &str,
    reason: &str,
    receives: u32,
    now: i64,
) -> rusqlite::Result<()> {
    file.execute(
        "INSERT INTO dead_letters (queue, reason, receives, at, body)
         VALUES (:queue, :reason, :receives, :at, :body)
         ON CONFLICT (queue, body) DO UPDATE
         SET reason = excluded.reason, receives = receives + excluded.receives, at = excluded.at",
        named_params! {
            ":queue": queue, ":reason": reason, ":receives": receives, ":at": now, ":body": body,
        },
    )?;
    Ok(())
}

/// When the next message of a queue becomes visible.
pub(crate) fn next_visible_ms(file: &Connection, queue: QueueName) -> rusqlite::Result<Option<i64>> {
    let select = "SELECT MIN(visible_at) FROM messages WHERE queue = ?1";
    file.prepare_cached(select)?.query_row([queue_name(queue)], |row| row.get(0))
}

/// Messages in all queues.
pub(crate) fn count(file: &Connection) -> rusqlite::Result<u64> {
    file.prepare_cached("SELECT COUNT(*) FROM messages")?.query_row([], |row| row.get(0))
}

/// Messages of one queue.
pub(crate) fn counts(file: &Connection, queue: QueueName, now: i64) -> rusqlite::Result<Counts> {
    let select = "
        SELECT COUNT(*) FILTER (WHERE NOT is_leased AND visible_at <= ?2) AS waiting,
               COUNT(*) FILTER (WHERE NOT is_leased AND visible_at > ?2) AS delayed,
               COUNT(*) FILTER (WHERE is_leased) AS in_flight,
               (SELECT COUNT(*) FROM dead_letters WHERE queue = ?1) AS dead
        FROM messages WHERE queue = ?1";
    file.prepare_cached(select)?.query_row(params![queue_name(queue), now], |row| {
        Ok(Counts {
            waiting: row.get("waiting")?,
            delayed: row.get("delayed")?,
            in_flight: row.get("in_flight")?,
            dead: row.get("dead")?,
        })
    })
}

/// The newest dead letters of a queue, newest first.
pub(crate) fn dead_letters(file: &Connection, queue: QueueName) -> rusqlite::Result<Vec<DeadLetter>> {
    let mut select = file.prepare_cached(
        "SELECT reason, receives, at, body FROM dead_letters
         WHERE queue = ?1 ORDER BY at DESC, id DESC LIMIT ?2",
    )?;
    let letters = select.query_map(params![queue_name(queue), DEAD_LETTERS_MAX], |row| {
        Ok(DeadLetter {
            reason: row.get("reason")?,
            receives: row.get("receives")?,
            at_ms: row.get("at")?,
            body: row.get("body")?,
        })
    })?;
    letters.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUEUE: QueueName = QueueName::Usage;

    fn send_bodies(file: &mut Connection, bodies: &[&str], now: i64) {
        let message = |body: &&str| NewMessage { queue: QUEUE, organization: None, body: (*body).to_owned() };
        send(file, &bodies.iter().map(message).collect::<Vec<_>>(), now).unwrap();
    }

    fn bodies(batch: &[Received]) -> Vec<&str> {
        batch.iter().map(|message| message.body.as_str()).collect()
    }

    fn ids(batch: &[Received]) -> Vec<i64> {
        batch.iter().map(|message| message.id).collect()
    }

    #[test]
    fn what_a_killed_process_had_received_is_there_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.db");
        let mut file = open(&path, 0).unwrap();
        send_bodies(&mut file, &["a", "b", "c"], 1);
        assert_eq!(bodies(&receive(&mut file, QUEUE, 2, 2).unwrap()), ["a", "b"]);
        assert_eq!(bodies(&receive(&mut file, QUEUE, 9, 3).unwrap()), ["c"]);
        assert_eq!(counts(&file, QUEUE, 3).unwrap(), Counts { in_flight: 3, ..Counts::default() });
        // Closing would run code; a killed process runs none. The file is as it was after the last commit.
        std::mem::forget(file);

        let mut file = open(&path, 4).unwrap();
        let again = receive(&mut file, QUEUE, 9, 4).unwrap();
        assert_eq!(bodies(&again), ["a", "b", "c"]);
        assert!(again.iter().all(|message| message.receives == 1), "a kill counts against no message");
    }

    #[test]
    fn a_lease_ends_by_itself() {
        let mut file = open(Path::new(":memory:"), 0).unwrap();
        send_bodies(&mut file, &["a"], 0);
        assert_eq!(receive(&mut file, QUEUE, 9, 0).unwrap().len(), 1);
        assert_eq!(receive(&mut file, QUEUE, 9, VISIBILITY_MS - 1).unwrap().len(), 0);
        assert_eq!(receive(&mut file, QUEUE, 9, VISIBILITY_MS).unwrap()[0].receives, 2);
    }

    #[test]
    fn a_message_that_fails_five_times_is_a_dead_letter_with_its_reason() {
        let mut file = open(Path::new(":memory:"), 0).unwrap();
        send_bodies(&mut file, &["bad"], 0);
        let mut now = 0;
        for wait in [200, 400, 800, 1600] {
            let batch = receive(&mut file, QUEUE, 9, now).unwrap();
            retry(&mut file, &ids(&batch), "not yet", now).unwrap();
            assert_eq!(next_visible_ms(&file, QUEUE).unwrap(), Some(now + wait));
            assert_eq!(receive(&mut file, QUEUE, 9, now + wait - 1).unwrap(), []);
            now += wait;
        }
        let batch = receive(&mut file, QUEUE, 9, now).unwrap();
        assert_eq!(batch[0].receives, RECEIVES_MAX);
        retry(&mut file, &ids(&batch), "never", now).unwrap();

        assert_eq!(counts(&file, QUEUE, now).unwrap(), Counts { dead: 1, ..Counts::default() });
        let letter = DeadLetter { reason: "never".into(), receives: 5, at_ms: now, body: "bad".into() };
        assert_eq!(dead_letters(&file, QUEUE).unwrap(), [letter]);
        assert_eq!(count(&file).unwrap(), 0);
    }

    #[test]
    fn the_same_dead_letter_twice_is_one() {
        let file = open(Path::new(":memory:"), 0).unwrap();
        bury(&file, "usage", "bad", "no such meter", 1, 7).unwrap();
        bury(&file, "usage", "bad", "no such meter", 1, 8).unwrap();
        bury(&file, "periods", "bad", "no such subscription", 1, 9).unwrap();
        let letter = DeadLetter { reason: "no such meter".into(), receives: 2, at_ms: 8, body: "bad".into() };
        assert_eq!(dead_letters(&file, QUEUE).unwrap(), [letter]);
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let waits = [1, 2, 3, 8, 9, 64, u32::MAX].map(retry_ms);
        assert_eq!(waits, [200, 400, 800, 25_600, 30_000, 30_000, 30_000]);
    }

    #[test]
    fn one_message_in_twenty_arrives_twice_and_none_three_times() {
        let mut file = open(Path::new(":memory:"), 0).unwrap();
        let sent: Vec<_> = (0..2000).map(|n| n.to_string()).collect();
        send_bodies(&mut file, &sent.iter().map(String::as_str).collect::<Vec<_>>(), 0);

        let first = receive(&mut file, QUEUE, 5000, 0).unwrap();
        assert_eq!(first.len(), 2000);
        assert!(delete(&mut file, &ids(&first), 1).unwrap());
        let second = receive(&mut file, QUEUE, 5000, 1).unwrap();
        assert!((80..=120).contains(&second.len()), "{}", second.len());
        assert!(!delete(&mut file, &ids(&second), 2).unwrap());
        assert_eq!(count(&file).unwrap(), 0);
    }

    #[test]
    fn a_batch_has_a_size_but_at_least_one_message() {
        let mut file = open(Path::new(":memory:"), 0).unwrap();
        let (huge, half) = ("x".repeat(BATCH_BYTES_MAX + 1), "y".repeat(BATCH_BYTES_MAX / 2));
        send_bodies(&mut file, &[&huge, &half, &half, "z"], 0);
        let mut sizes = Vec::new();
        for now in 0..3 {
            sizes.push(receive(&mut file, QUEUE, 9, now).unwrap().len());
        }
        assert_eq!(sizes, [1, 2, 1]);
    }
}
