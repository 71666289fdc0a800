//! `POST /v1/databases/{db}/import?cursor=&from=&dry_run=`: an export, loaded into an empty primary.
//!
//! While lines come in, an answer goes out after every transaction; the last line says what was loaded, or why it cannot
//! go on.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::mpsc;

use apograph::error::ImportError;
use apograph::import::LINE_BYTES_MAX;
use apograph::{Import, ImportProgress, ImportRequest};
use apograph_client::media_type;
use apograph_client::types::{self, ImportAnswer, ImportDone, ImportQuery};

use super::commit;
use crate::app::App;
use crate::limits::{IMPORT_ANSWERS_MAX, IMPORT_GROUP_BYTES};
use crate::problem::{Answer, Code, Refused};
use crate::request::json;
use crate::request::lines::Lines;
use crate::request::params::{self, Params};
use crate::request::path::InDatabase;
use crate::tokens::Principal;

/// Loads an export, or only says whether the database would take it.
pub(super) async fn post(
    State(app): State<App>,
    Extension(principal): Extension<Principal>,
    InDatabase(database): InDatabase,
    Params(asked): Params<ImportQuery>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    commit::writable(&database)?;
    if json::content_type(&headers).as_deref() != Some(media_type::NDJSON) {
        return Err(Code::MediaType.because(format!("this route takes {}", media_type::NDJSON)));
    }
    let request = ImportRequest {
        from: params::parse("from", asked.from.as_deref())?,
        ..ImportRequest::new(principal.name, asked.cursor)
    };
    let import = app.blocking(move || database.import(request)).await?;
    let (answers, mut waiting) = mpsc::channel(IMPORT_ANSWERS_MAX);
    if asked.dry_run {
        let _ = answers.try_send(ImportAnswer::Done(ImportDone::default()));
    } else {
        let lines = Lines::new(&app, body, LINE_BYTES_MAX, "a line of an export");
        app.tasks.spawn(run(app.clone(), import, lines, answers));
    }
    let lines = stream::poll_fn(move |context| waiting.poll_recv(context));
    let lines = futures_util::StreamExt::map(lines, |answer| {
        let mut line = serde_json::to_vec(&answer).unwrap_or_default();
        line.push(b'\n');
        Ok::<Bytes, std::convert::Infallible>(line.into())
    });
    let mut response = Response::new(Body::from_stream(lines));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type::NDJSON));
    Ok(response)
}

async fn run(app: App, import: Import, lines: Lines, answers: mpsc::Sender<ImportAnswer>) {
    let last = match all(&app, import, lines, &answers).await {
        Ok(done) => ImportAnswer::Done(done),
        Err(refused) => ImportAnswer::Refused(refused.into_problem()),
    };
    // Whoever is gone asks the cursor.
    let _ = answers.send(last).await;
}

async fn all(
    app: &App,
    mut import: Import,
    mut lines: Lines,
    answers: &mpsc::Sender<ImportAnswer>,
) -> Result<ImportDone, Refused> {
    let mut told = import.progress();
    while let Some(first) = lines.next().await? {
        let mut bytes = first.len();
        let mut group = vec![first];
        while bytes < IMPORT_GROUP_BYTES
            && let Some(line) = lines.next_that_came()
        {
            bytes += line.len();
            group.push(line);
        }
        let take = move || {
            for line in group {
                import.line(line.strip_suffix(b"\n").unwrap_or(&line))?;
            }
            Ok::<Import, ImportError>(import)
        };
        import = app.blocking(take).await?;
        if import.progress() != told {
            told = import.progress();
            let progress = ImportAnswer::Progress(progress(&told));
            answers.send(progress).await.map_err(|_| Code::BodyIncomplete.because("the client is gone"))?;
        }
    }
    let (last, loaded) = app.blocking(move || import.finish()).await?;
    Ok(ImportDone {
        transactions: loaded.transactions,
        documents: loaded.documents,
        versions: loaded.versions,
        content_bytes: loaded.content_bytes,
        token: last.token,
        left_out: loaded.left_out,
        left_out_total: loaded.left_out_total,
        purged_meanwhile: loaded.purged_meanwhile,
        purged_meanwhile_total: loaded.purged_meanwhile_total,
        cut: loaded.cut,
        cut_total: loaded.cut_total,
    })
}

fn progress(progress: &ImportProgress) -> types::ImportProgress {
    let position = progress.position;
    types::ImportProgress {
        lines: position.line,
        bytes: position.offset,
        documents: position.documents,
        versions: position.versions,
        token: progress.token,
    }
}
