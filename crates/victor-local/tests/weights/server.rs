//! A file server that breaks off, forgets ranges, redirects or refuses, as a test asks for it.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

/// How the server behaves from now on.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    pub(crate) content: Vec<u8>,
    /// What paths that end with a `/` give; `None` for the content too.
    pub(crate) page: Option<String>,
    pub(crate) tag: String,
    /// The next answer ends after so many bytes of the body.
    pub(crate) cut: Option<usize>,
    /// Answers ranges with a part of the file.
    pub(crate) ranges: bool,
    pub(crate) status: u16,
    /// Sends everybody from paths that begin so to this path.
    pub(crate) redirect: Option<(&'static str, &'static str)>,
    /// What the file is said to be.
    pub(crate) media_type: Option<&'static str>,
    /// So many pages are refused first.
    pub(crate) refusals: u32,
    /// Sends no body until it is opened.
    pub(crate) shut: bool,
}

#[derive(Default)]
struct Shared {
    manner: Mutex<Option<Manner>>,
    opened: Condvar,
    ranges: Mutex<Vec<Option<String>>>,
    paths: Mutex<Vec<String>>,
}

pub(crate) struct Server {
    shared: Arc<Shared>,
    address: String,
}

impl Server {
    pub(crate) fn start(content: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let manner = Manner {
            content,
            page: None,
            tag: "\"one\"".to_owned(),
            cut: None,
            ranges: true,
            status: 200,
            redirect: None,
            media_type: None,
            refusals: 0,
            shut: false,
        };
        let shared = Arc::new(Shared { manner: Mutex::new(Some(manner)), ..Shared::default() });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&serving);
                // A client that goes away is no failure of the server.
                std::thread::spawn(move || drop(answer(&shared, stream)));
            }
        });
        Self { shared, address }
    }

    pub(crate) fn address(&self) -> String {
        self.address.clone()
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Manner)) {
        change(self.shared.manner.lock().unwrap().as_mut().unwrap());
        self.shared.opened.notify_all();
    }

    /// The path of every request so far.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.shared.paths.lock().unwrap().clone()
    }

    /// The `Range` of every request for the file so far.
    pub(crate) fn ranges(&self) -> Vec<Option<String>> {
        self.shared.ranges.lock().unwrap().clone()
    }
}

fn answer(shared: &Shared, mut stream: TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let path = lines.next().unwrap()?.split(' ').nth(1).unwrap().to_owned();
    let headers: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let header = |name: &str| {
        headers.iter().find_map(|line| {
            let (n, value) = line.split_once(':')?;
            n.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    shared.paths.lock().unwrap().push(path.clone());
    let manner = shared.manner.lock().unwrap().clone().unwrap();
    if let Some((_, to)) = manner.redirect.filter(|(from, _)| path.starts_with(from)) {
        return write!(
            stream,
            "HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        );
    }
    if let Some(page) = manner.page.as_ref().filter(|_| path.ends_with('/')) {
        if manner.refusals > 0 {
            shared.manner.lock().unwrap().as_mut().unwrap().refusals -= 1;
            return refuse(&mut stream, 503);
        }
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\nconnection: close";
        let head = format!("{head}\r\ncontent-length: {}\r\n\r\n", page.len());
        return stream.write_all(&[head.as_bytes(), page.as_bytes()].concat());
    }
    shared.ranges.lock().unwrap().push(header("range"));
    if manner.status != 200 {
        return refuse(&mut stream, manner.status);
    }
    if let Some(cut) = manner.cut {
        shared.manner.lock().unwrap().as_mut().unwrap().cut = None;
        return send(shared, &mut stream, &manner, header("range"), header("if-range"), cut);
    }
    send(shared, &mut stream, &manner, header("range"), header("if-range"), usize::MAX)
}

/// A whole file with its type and nothing else.
fn send_as(stream: &mut TcpStream, media_type: &str, body: &[u8]) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {media_type}\r\ncontent-length: {}", body.len());
    write!(stream, "{head}\r\nconnection: close\r\n\r\n")?;
    stream.write_all(body)
}

fn refuse(stream: &mut TcpStream, status: u16) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {status} No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
}

fn send(
    shared: &Shared,
    stream: &mut TcpStream,
    manner: &Manner,
    range: Option<String>,
    if_range: Option<String>,
    cut: usize,
) -> std::io::Result<()> {
    let total = manner.content.len();
    let same = if_range.is_none_or(|tag| tag == manner.tag);
    let from = range.and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    let from = from.filter(|_| manner.ranges && same);
    if from.is_some_and(|from| from >= total) {
        let head = format!("HTTP/1.1 416 No\r\ncontent-range: bytes */{total}\r\ncontent-length: 0");
        return write!(stream, "{head}\r\nconnection: close\r\n\r\n");
    }
    let body = &manner.content[from.unwrap_or(0)..];
    if let Some(media_type) = manner.media_type {
        return send_as(stream, media_type, body);
    }
    match from {
        Some(from) => {
            write!(stream, "HTTP/1.1 206 Part\r\ncontent-range: bytes {from}-{}/{total}\r\n", total - 1)?;
        }
        None => write!(stream, "HTTP/1.1 200 OK\r\n")?,
    }
    write!(stream, "etag: {}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", manner.tag, body.len())?;
    stream.flush()?;
    let shut = shared.manner.lock().unwrap();
    drop(shared.opened.wait_while(shut, |manner| manner.as_ref().unwrap().shut).unwrap());
    stream.write_all(&body[..cut.min(body.len())])
}
