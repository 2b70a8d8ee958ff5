//! Just enough HTTP/1.1 for a test server: requests with a length or in chunks, answers in chunks, keep-alive.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::reply::Ending;

/// A request as it came.
pub(crate) struct Incoming {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// An answer, ready to send.
pub(crate) struct Outgoing {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) cut: Option<usize>,
    pub(crate) ending: Ending,
}

/// What became of the connection after an answer.
#[derive(PartialEq, Eq)]
pub(crate) enum After {
    KeepAlive,
    Closed,
    ClientGone,
}

/// Reads the next request; `None` when the client is done.
pub(crate) async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Incoming>> {
    let head_end = loop {
        if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            break at;
        }
        if more(stream, buffer).await? == 0 {
            return Ok(None);
        }
    };
    let head: Vec<u8> = buffer.drain(..head_end + 4).collect();
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut lines = head.lines();
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (method, path) = (first.next().unwrap_or_default().into(), first.next().unwrap_or_default().into());
    let headers: Vec<(String, String)> = lines
        .filter_map(|l| l.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let find = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    let body = match (find("content-length"), find("transfer-encoding")) {
        (Some(length), _) => take(stream, buffer, length.parse().unwrap_or(0)).await?,
        (None, Some(_)) => read_chunks(stream, buffer).await?,
        (None, None) => Vec::new(),
    };
    Ok(Some(Incoming { method, path, headers, body }))
}

/// Sends an answer as its ending says.
pub(crate) async fn write(stream: &mut TcpStream, answer: &Outgoing) -> After {
    match try_write(stream, answer).await {
        Ok(after) => after,
        Err(_) => After::ClientGone,
    }
}

async fn try_write(stream: &mut TcpStream, answer: &Outgoing) -> io::Result<After> {
    let mut head = format!("HTTP/1.1 {} Scripted\r\ntransfer-encoding: chunked\r\n", answer.status);
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await?;
    let length = match answer.ending {
        Ending::Whole => answer.body.len(),
        Ending::StallAfter(n) | Ending::CloseAfter(n) => n.min(answer.body.len()),
    };
    for piece in answer.body[..length].chunks(answer.cut.unwrap_or(64 * 1024)) {
        let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
        chunk.extend_from_slice(piece);
        chunk.extend_from_slice(b"\r\n");
        stream.write_all(&chunk).await?;
    }
    match answer.ending {
        Ending::Whole => {
            stream.write_all(b"0\r\n\r\n").await?;
            Ok(After::KeepAlive)
        }
        Ending::CloseAfter(_) => {
            stream.shutdown().await?;
            Ok(After::Closed)
        }
        Ending::StallAfter(_) => {
            let mut byte = [0; 1];
            let _ = stream.read(&mut byte).await;
            Ok(After::ClientGone)
        }
    }
}

async fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<usize> {
    stream.read_buf(buffer).await
}

async fn take(stream: &mut TcpStream, buffer: &mut Vec<u8>, length: usize) -> io::Result<Vec<u8>> {
    while buffer.len() < length {
        if more(stream, buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(buffer.drain(..length).collect())
}

async fn read_chunks(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line_end = loop {
            if let Some(at) = buffer.windows(2).position(|w| w == b"\r\n") {
                break at;
            }
            if more(stream, buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        let line: Vec<u8> = buffer.drain(..line_end + 2).collect();
        let length = usize::from_str_radix(String::from_utf8_lossy(&line).trim(), 16).unwrap_or(0);
        let piece = take(stream, buffer, length + 2).await?;
        if length == 0 {
            return Ok(body);
        }
        body.extend_from_slice(&piece[..length]);
    }
}
