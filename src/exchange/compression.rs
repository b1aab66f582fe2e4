//! Content coding: gzip for clients that accept it, if the server was started to offer it.
//!
//! All answers that carry lines use it: both polls, the snapshot, SSE and NDJSON. Each piece of a stream is flushed, so
//! that an event leaves at once. The middleware of actix-web is not used: it hands pieces over 1 KiB to another thread.
//! It also sends neither `Vary` with an answer that is not coded nor a weak entity tag with one that is. Messages of a
//! WebSocket are compressed elsewhere; what a server may offer for them stands here too.

use std::fmt;
use std::io::Write;

use actix_web::http::header::{AcceptEncoding, CONTENT_ENCODING, Encoding, Header, HeaderValue, VARY};
use actix_web::{HttpMessage, HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use clap::ValueEnum;
use flate2::Compression as Level;
use flate2::write::GzEncoder;

/// Compression level of proxies that compress on the fly (nginx's `gzip_comp_level 1`): most of the saving for the
/// least time.
const LEVEL: Level = Level::fast();
const TO_MEMORY: &str = "writing to memory does not fail";

/// The coding that a server offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Compression {
    /// Bodies as they are. Short lines sent one by one hardly shrink.
    #[default]
    Identity,
    /// gzip for clients that accept it, each event flushed. An open stream takes some 320 KiB; each line is compressed
    /// once per subscriber.
    Gzip,
}

/// The compression that a server offers for the lines of a WebSocket (RFC 7692, permessage-deflate).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum WebsocketCompression {
    /// No extension is accepted.
    #[default]
    Off,
    /// Each line is compressed by itself, once for all sockets: no memory per socket.
    NoContextTakeover,
    /// Each line may refer to earlier ones: it is compressed once per socket, which takes some 200 KiB.
    ContextTakeover,
}

impl WebsocketCompression {
    /// Every value.
    pub const ALL: [Self; 3] = [Self::Off, Self::NoContextTakeover, Self::ContextTakeover];

    /// Returns the name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::NoContextTakeover => "no-context-takeover",
            Self::ContextTakeover => "context-takeover",
        }
    }
}

impl fmt::Display for WebsocketCompression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The coding of one answer's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    /// No coding: the server offers none.
    Never,
    /// No coding: this client does not accept gzip.
    NotAccepted,
    /// Coded in gzip.
    Gzip,
}

impl Coding {
    /// Chooses the coding by `Accept-Encoding` (RFC 9110 §12.5.3). A header that cannot be parsed accepts no coding.
    pub(crate) fn agreed(request: &impl HttpMessage, offered: Compression) -> Self {
        match offered {
            Compression::Identity => Self::Never,
            Compression::Gzip => {
                let accepted = AcceptEncoding::parse(request).ok();
                let agreed = accepted
                    .and_then(|accepted| accepted.negotiate([Encoding::gzip(), Encoding::identity()].iter()));
                if agreed == Some(Encoding::gzip()) { Self::Gzip } else { Self::NotAccepted }
            }
        }
    }

    /// Returns the entity tag of this coding. A strong tag stands for one sequence of bytes, and gzip makes others, so
    /// the tag of a coded answer is weak (RFC 9110 §8.8.1).
    pub(crate) fn tag(self, tag: String) -> String {
        match self {
            Self::Never | Self::NotAccepted => tag,
            Self::Gzip => format!("W/{tag}"),
        }
    }

    /// Tells caches by `Vary` that the answer depends on `Accept-Encoding`, if it does.
    pub(crate) fn vary(self, response: &mut HttpResponseBuilder) {
        match self {
            Self::Never => {}
            Self::NotAccepted | Self::Gzip => {
                response.append_header((VARY, HeaderValue::from_static("accept-encoding")));
            }
        }
    }

    /// Finishes the response with a body that is there as a whole.
    pub(crate) fn whole(self, response: &mut HttpResponseBuilder, body: Bytes) -> HttpResponse {
        let (mut encoder, mut body) = (self.start(response), body);
        if let Encoder::Gzip(gzip) = &mut encoder {
            gzip.write_all(&body).expect(TO_MEMORY);
            body = encoder.end().unwrap_or_default();
        }
        response.body(body)
    }

    /// Sets `Content-Encoding` and returns the encoder for the body.
    pub(crate) fn start(self, response: &mut HttpResponseBuilder) -> Encoder {
        match self {
            Self::Never | Self::NotAccepted => Encoder::Identity,
            Self::Gzip => {
                response.insert_header((CONTENT_ENCODING, HeaderValue::from_static("gzip")));
                Encoder::Gzip(GzEncoder::new(Vec::new(), LEVEL).into())
            }
        }
    }
}

/// Encodes the body of one answer, piece by piece.
pub(crate) enum Encoder {
    /// Returns each piece as it is.
    Identity,
    /// Codes all pieces as one gzip member, until its end was taken.
    Gzip(Box<GzEncoder<Vec<u8>>>),
    /// Has returned the end: no piece follows.
    Ended,
}

impl Encoder {
    /// Encodes one piece so that the client can decode it without what follows (RFC 1951: a sync flush ends at a byte).
    pub(crate) fn piece(&mut self, bytes: Bytes) -> Bytes {
        match self {
            Self::Gzip(gzip) if !bytes.is_empty() => {
                gzip.write_all(&bytes).and_then(|()| gzip.flush()).expect(TO_MEMORY);
                std::mem::take(gzip.get_mut()).into()
            }
            Self::Gzip(_) | Self::Identity | Self::Ended => bytes,
        }
    }

    /// Returns what follows the last piece, on the first call only: the gzip trailer, which tells an end from a cut.
    pub(crate) fn end(&mut self) -> Option<Bytes> {
        match std::mem::replace(self, Self::Ended) {
            Self::Gzip(gzip) => Some(gzip.finish().expect(TO_MEMORY).into()),
            Self::Identity | Self::Ended => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use actix_web::test::TestRequest;
    use flate2::read::{GzDecoder, MultiGzDecoder};

    use super::*;

    fn agreed(accept: &str) -> Coding {
        let request = TestRequest::default().insert_header(("accept-encoding", accept)).to_http_request();
        Coding::agreed(&request, Compression::Gzip)
    }

    #[test]
    fn gzip_is_agreed_on_where_the_client_names_it_and_does_not_prefer_another() {
        for accept in ["gzip", "GZIP", "gzip, deflate, br, zstd", "br;q=1, gzip;q=0.2", "gzip;q=0.5, *;q=0.1"]
        {
            assert_eq!(agreed(accept), Coding::Gzip, "{accept}");
        }
        for accept in ["", "identity", "br", "gzip;q=0", "identity, gzip;q=0.5", "gzip;q=2x", "gz,ip;;q"] {
            assert_eq!(agreed(accept), Coding::NotAccepted, "{accept}");
        }
        let unsaid = TestRequest::default().to_http_request();
        assert_eq!(Coding::agreed(&unsaid, Compression::Gzip), Coding::NotAccepted);
        let asked = TestRequest::default().insert_header(("accept-encoding", "gzip")).to_http_request();
        assert_eq!(Coding::agreed(&asked, Compression::Identity), Coding::Never);
    }

    #[test]
    fn each_piece_can_be_read_before_the_next_and_all_are_one_member() {
        let mut encoder = Encoder::Gzip(GzEncoder::new(Vec::new(), LEVEL).into());
        let mut sent = Vec::new();
        let pieces = ["a", "", "b\n\n", "long ".repeat(50_000).leak()];
        for (count, piece) in (1..).zip(pieces) {
            sent.extend_from_slice(&encoder.piece(Bytes::from_static(piece.as_bytes())));
            let mut so_far = vec![0; pieces[..count].concat().len()];
            GzDecoder::new(&sent[..]).read_exact(&mut so_far).unwrap();
            assert_eq!(so_far, pieces[..count].concat().as_bytes());
        }
        sent.extend_from_slice(&encoder.end().unwrap());
        assert_eq!(encoder.end(), None);
        let mut whole = String::new();
        MultiGzDecoder::new(&sent[..]).read_to_string(&mut whole).unwrap();
        assert_eq!(whole, pieces.concat());
    }
}
