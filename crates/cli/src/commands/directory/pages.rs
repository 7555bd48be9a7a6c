//! The whole directory into a file and out of it, page by page: what is damaged is told by its number, and the other pages
//! are taken.

use std::path::Path;

use clearhouse_node::calls::Call;
use clearhouse_protocol::directory::pages;
pub(super) use clearhouse_protocol::directory::pages::is_file;
use clearhouse_protocol::limits::{FILE_PAGE_LEN, FILE_PAGES_MAX};
use prost::Message as _;
use serde_json::{Value, json};

use crate::ask::{Node, base64, bytes_of};
use crate::cli::App;
use crate::files::NewFile;
use crate::trouble::{Exit, Trouble};

/// Longest file of pages.
pub(super) const FILE_MAX: usize = FILE_PAGE_LEN * FILE_PAGES_MAX;

/// Writes everything the node holds into a new file.
///
/// # Errors
/// The node's failure, or that the file cannot be made; then there is none.
pub(super) async fn export(app: &App, out: &Path) -> Result<Value, Trouble> {
    let node = Node::find(&app.global)?;
    let mut file = NewFile::create(out)?;
    let (mut number, mut ticket, mut bytes) = (0, None, 0);
    loop {
        let reply = node.ask(Call::DirectoryPage { number, ticket }).await?;
        let page = bytes_of(&reply, "page")?;
        file.write(&page)?;
        bytes += page.len();
        number += 1;
        if u64::from(number) >= reply.get("of").and_then(Value::as_u64).unwrap_or(0) {
            break;
        }
        ticket = reply.get("ticket").and_then(Value::as_str).map(str::to_owned);
    }
    file.keep()?;
    Ok(json!({"schema": "ch.saved/1", "file": out.display().to_string(), "bytes": bytes, "pages": number}))
}

/// Takes every page that is whole, each by itself.
///
/// # Errors
/// The node's failure; what was taken until then stays taken, and the same file may be taken again.
pub(super) async fn import(app: &App, bytes: &[u8]) -> Result<Exit, Trouble> {
    let node = Node::find(&app.global)?;
    let mut desk = node.sit_down(app).await?;
    let mut sum = Sum::default();
    for (number, page) in (0u32..).zip(bytes.chunks(FILE_PAGE_LEN)) {
        match pages::read(number, page) {
            Ok((bundle, of)) => {
                sum.of = sum.of.max(of);
                let call = Call::DirectoryImport { bundle: base64(&bundle.encode_to_vec()).to_string() };
                match desk.ask(call).await {
                    Ok(reply) => sum.add(number, &reply),
                    Err(trouble) => {
                        desk.leave().await;
                        return Err(trouble);
                    }
                }
            }
            Err(fault) => sum.damaged.push(json!({"number": number + 1, "why": fault.to_string()})),
        }
        sum.read = number + 1;
    }
    desk.leave().await;
    let missing = (sum.read..sum.of).map(|number| json!({"number": number + 1, "why": "missing"}));
    sum.damaged.extend(missing.take(FILE_PAGES_MAX));
    let whole = sum.damaged.is_empty() && sum.refused.is_empty() && sum.counts[2] == 0;
    app.out.reply(&sum.reply())?;
    Ok(if whole { Exit::Done } else { Exit::Findings })
}

/// What all pages brought.
#[derive(Default)]
struct Sum {
    /// New, known, contested.
    counts: [u64; 3],
    refused: Vec<Value>,
    damaged: Vec<Value>,
    read: u32,
    of: u32,
}

const COUNTED: [&str; 3] = ["new", "known", "contested"];

impl Sum {
    fn add(&mut self, number: u32, reply: &Value) {
        for (count, name) in self.counts.iter_mut().zip(COUNTED) {
            *count += reply.get(name).and_then(Value::as_u64).unwrap_or(0);
        }
        for refused in reply.get("refused").and_then(Value::as_array).into_iter().flatten() {
            let record = refused.get("record").and_then(Value::as_u64).unwrap_or(0);
            let why = refused.get("why").cloned().unwrap_or_default();
            self.refused.push(json!({"record": format!("{record} of page {}", number + 1), "why": why}));
        }
    }

    fn reply(self) -> Value {
        let [new, known, contested] = self.counts;
        json!({
            "schema": "ch.import/1", "new": new, "known": known, "contested": contested, "refused": self.refused,
            "pages": self.read, "damaged_pages": self.damaged,
        })
    }
}
