//! A memory store with one fault, so that the server over it breaks one promise.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use tokio::sync::watch;
use wirelab::store::memory::MemoryStore;
use wirelab::store::{
    AppendRequest, DeploymentLog, EncodedLine, Head, IdempotencyKey, LogStore, ReadLimit, Reservation,
    StoreError, Stored, Tally,
};
use wirelab_clients::wire::{
    Deployment, DeploymentId, Epoch, LINE_BYTES_MAX, Line, NewLine, Seq, Source, Status,
};

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Line 7 is never read.
    DropsALine,
    /// Line 7 is read twice.
    RepeatsALine,
    /// Lines 7 and 8 change places.
    SwapsTwoLines,
    /// The same line has another time whenever it is read.
    ChangesTheTime,
    /// Reading on after a cursor leaves out the line right behind it, where more follow.
    SkipsALineAfterACursor,
    /// The end of the text is trimmed.
    TrimsTheEnd,
    /// CRLF becomes LF.
    NormalisesLineEnds,
    /// A byte order mark is taken for an encoding's mark.
    StripsTheByteOrderMark,
    /// NUL ends a text.
    EndsAtNul,
    /// What is not in the Basic Multilingual Plane becomes U+FFFD.
    LosesFourByteCharacters,
    /// The last byte that a line may have is cut.
    CutsLongLines,
    /// A thousand lines that nobody appended follow the last one.
    InventsLines,
    /// The head lags: its last line is never announced.
    HeadTooShort,
    /// The head does not say what retention dropped.
    HidesRetention,
    /// The end is never announced.
    NeverEnds,
    /// The end is announced while lines are still to come.
    EndsEarly,
    /// A deployment that nobody made is found all the same.
    FindsWhatIsNotThere,
    /// Every line a reader asks for starts at the first one.
    IgnoresTheCursor,
}

const INVENTED_LINES: u64 = 1_000;

/// [`MemoryStore`] with a [`Fault`].
pub(crate) struct FaultyStore {
    store: MemoryStore,
    fault: Fault,
    /// Reads of any log so far.
    reads: Arc<AtomicU64>,
}

impl FaultyStore {
    /// `retain_lines` as for the memory store: 0 keeps all.
    pub(crate) fn new(fault: Fault, retain_lines: u64) -> Self {
        Self { store: MemoryStore::new(retain_lines), fault, reads: Arc::default() }
    }

    fn faulty(&self, log: Arc<dyn DeploymentLog>) -> Arc<dyn DeploymentLog> {
        let mut heads = log.head();
        let head = watch::Sender::new(self.fault.head(*heads.borrow_and_update()));
        let faulty = Arc::new(FaultyLog { log, fault: self.fault, head, reads: self.reads.clone() });
        let follower = faulty.clone();
        tokio::spawn(async move {
            while heads.changed().await.is_ok() {
                heads.mark_unchanged();
                follower.follow();
            }
        });
        faulty
    }
}

#[async_trait]
impl LogStore for FaultyStore {
    async fn create_keyed(
        &self,
        name: String,
        source: Option<Source>,
        key: Option<IdempotencyKey>,
    ) -> Result<Arc<dyn DeploymentLog>, StoreError> {
        self.store.create_keyed(name, source, key).await
    }

    async fn open(&self, id: &DeploymentId) -> Result<Arc<dyn DeploymentLog>, StoreError> {
        match self.store.open(id).await {
            Err(StoreError::NotFound(_)) if self.fault == Fault::FindsWhatIsNotThere => {
                self.store.create("invented".to_owned(), None).await
            }
            opened => Ok(self.faulty(opened?)),
        }
    }

    async fn list(&self, limit: usize) -> Result<Vec<Arc<dyn DeploymentLog>>, StoreError> {
        self.store.list(limit).await
    }

    async fn delete(&self, id: &DeploymentId) -> Result<(), StoreError> {
        self.store.delete(id).await
    }

    fn name(&self) -> &'static str {
        "faulty"
    }

    fn durable(&self) -> bool {
        false
    }

    fn tally(&self) -> Tally {
        self.store.tally()
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.store.check().await
    }
}

struct FaultyLog {
    log: Arc<dyn DeploymentLog>,
    fault: Fault,
    head: watch::Sender<Head>,
    reads: Arc<AtomicU64>,
}

impl FaultyLog {
    /// Announces the log's head as it is now, in one step: an older one must not follow a newer one.
    fn follow(&self) {
        self.head.send_modify(|head| *head = self.fault.head(*self.log.head().borrow()));
    }
}

#[async_trait]
impl DeploymentLog for FaultyLog {
    async fn append(&self, request: AppendRequest) -> Result<Stored, StoreError> {
        self.log.append(request).await
    }

    async fn reserve(&self, body: &[u8]) -> Result<Reservation, StoreError> {
        self.log.reserve(body).await
    }

    async fn read_after(&self, after: Seq, limit: ReadLimit) -> Result<Vec<Arc<EncodedLine>>, StoreError> {
        let after = if self.fault == Fault::IgnoresTheCursor { 0 } else { after };
        let mut lines = self.log.read_after(after, limit).await?;
        let reads = self.reads.fetch_add(1, Ordering::Relaxed);
        match self.fault {
            Fault::DropsALine => lines.retain(|line| line.seq != 7),
            Fault::RepeatsALine => {
                if let Some(i) = lines.iter().position(|line| line.seq == 7) {
                    lines.insert(i, lines[i].clone());
                }
            }
            Fault::SwapsTwoLines => {
                if let Some(i) = lines.iter().position(|line| line.seq == 7).filter(|i| i + 1 < lines.len()) {
                    lines.swap(i, i + 1);
                }
            }
            Fault::SkipsALineAfterACursor if after > 0 && lines.len() > 1 => {
                lines.remove(0);
            }
            Fault::InventsLines => {
                let last = self.log.info().lines;
                let from = lines.last().map_or(after.max(last), |line| line.seq);
                let invented = (from + 1..=last + INVENTED_LINES).take(limit.lines - lines.len());
                let invented = invented.map(|seq| EncodedLine::new(seq, 0, &NewLine::plain("invented")));
                lines.extend(invented.map(Arc::new));
            }
            Fault::ChangesTheTime => alter(&mut lines, |line| line.at_us += reads),
            Fault::TrimsTheEnd => alter(&mut lines, |line| {
                line.line.text.truncate(line.line.text.trim_end().len());
            }),
            Fault::NormalisesLineEnds => {
                alter(&mut lines, |line| line.line.text = line.line.text.replace("\r\n", "\n"));
            }
            Fault::StripsTheByteOrderMark => {
                alter(&mut lines, |line| line.line.text = line.line.text.replace('\u{feff}', ""));
            }
            Fault::EndsAtNul => alter(&mut lines, |line| {
                let end = line.line.text.find('\0').unwrap_or(line.line.text.len());
                line.line.text.truncate(end);
            }),
            Fault::LosesFourByteCharacters => alter(&mut lines, |line| {
                line.line.text =
                    line.line.text.chars().map(|c| if c.len_utf8() == 4 { '\u{fffd}' } else { c }).collect();
            }),
            Fault::CutsLongLines => alter(&mut lines, |line| {
                if line.line.text.len() == LINE_BYTES_MAX {
                    line.line.text.pop();
                }
            }),
            Fault::HidesRetention
            | Fault::SkipsALineAfterACursor
            | Fault::HeadTooShort
            | Fault::NeverEnds
            | Fault::EndsEarly
            | Fault::FindsWhatIsNotThere
            | Fault::IgnoresTheCursor => {}
        }
        Ok(lines)
    }

    async fn finish(&self, status: Status) -> Result<(), StoreError> {
        self.log.finish(status).await
    }

    fn id(&self) -> &DeploymentId {
        self.log.id()
    }

    fn epoch(&self) -> &Epoch {
        self.log.epoch()
    }

    fn info(&self) -> Deployment {
        self.log.info()
    }

    fn source(&self) -> Option<Source> {
        self.log.source()
    }

    fn creation_key(&self) -> Option<IdempotencyKey> {
        self.log.creation_key()
    }

    fn head(&self) -> watch::Receiver<Head> {
        // What was appended a moment ago counts, whether the follower has run or not.
        self.follow();
        self.head.subscribe()
    }
}

impl Fault {
    fn head(self, head: Head) -> Head {
        match self {
            Self::InventsLines => Head { last: head.last + INVENTED_LINES, ..head },
            Self::HeadTooShort => Head { last: head.last.saturating_sub(1).max(head.first), ..head },
            Self::HidesRetention => Head { first: 0, ..head },
            Self::NeverEnds => Head { ended: None, ..head },
            Self::EndsEarly => Head { ended: Some(Status::Succeeded), ..head },
            _ => head,
        }
    }
}

fn alter(lines: &mut [Arc<EncodedLine>], change: impl Fn(&mut Line)) {
    for line in lines {
        let mut altered = line.decode();
        change(&mut altered);
        *line = Arc::new(EncodedLine::new(altered.seq, altered.at_us, &altered.line));
    }
}
