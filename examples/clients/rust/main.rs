//! A topic, keyed records and a group, on code generated from proto/riverrun/v1 alone. ../README.md says how to run it.

use pb::group_service_client::GroupServiceClient;
use pb::stream_service_client::StreamServiceClient;
use pb::topic_service_client::TopicServiceClient;
use pb::{subscribe_request::Request, subscribe_response::Response};
use std::collections::{HashMap, VecDeque};
use std::{env, error::Error, fs, time::Duration};
use tokio::{sync::mpsc, time::sleep};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status};

#[allow(dead_code)] // It has more than is used here.
mod pb {
    tonic::include_proto!("riverrun.v1");
}

const PARTITIONS: u32 = 12;
const TIMEOUT: Duration = Duration::from_secs(5); // A node gets so long for one request.
const FAILURES_MAX: u32 = 150; // After so many in a row there is no cluster: half a minute at least.

/// Others are tried again, at another node; NotFound, too: news of a topic takes a moment to reach every node.
const FINAL: [Code; 7] = {
    use Code::*;
    [InvalidArgument, AlreadyExists, FailedPrecondition, OutOfRange, Aborted, PermissionDenied, Unimplemented]
};

/// A channel to each node; any node takes any request.
struct Cluster {
    channels: VecDeque<(String, Channel)>,
    failures: u32, // Since the last answer.
}

impl Cluster {
    fn new(servers: &str, tls: Option<ClientTlsConfig>) -> Result<Self, Box<dyn Error>> {
        let mut channels = VecDeque::new();
        for server in servers.split(',') {
            let mut endpoint = match &tls {
                Some(tls) => Endpoint::from_shared(format!("https://{server}"))?.tls_config(tls.clone())?,
                None => Endpoint::from_shared(format!("http://{server}"))?,
            };
            endpoint = endpoint
                .timeout(TIMEOUT) // of a stream: for its first answer
                .http2_keep_alive_interval(Duration::from_secs(10))
                .keep_alive_timeout(Duration::from_secs(2));
            channels.push_back((server.to_string(), endpoint.connect_lazy()));
        }
        Ok(Self { channels, failures: 0 })
    }

    /// Moves on to the next node, unless that would say the same.
    async fn failed(&mut self, error: Status) -> Result<(), Status> {
        eprintln!("{}: {error}", self.channels[0].0);
        self.failures += 1;
        if self.failures > FAILURES_MAX || FINAL.contains(&error.code()) {
            return Err(error);
        }
        self.channels.rotate_left(1);
        sleep(Duration::from_millis(200)).await;
        Ok(())
    }

    /// Makes a call until a node answers it.
    async fn ask<A>(&mut self, call: impl AsyncFn(Channel) -> Result<tonic::Response<A>, Status>) -> Result<A, Status> {
        loop {
            match call(self.channels[0].1.clone()).await {
                Ok(response) => {
                    self.failures = 0;
                    return Ok(response.into_inner());
                }
                Err(error) => self.failed(error).await?,
            }
        }
    }
}

/// The cluster's partitioner, version 1.
fn partition_of(key: &[u8], partitions: u32) -> u32 {
    crc32c::crc32c(key) % partitions
}

/// Sends a record a request. A producer's id, with a sequence for each partition, makes it harmless to send a request
/// again whose answer was lost: if it had been appended, the receipt says "duplicate" and has its offset.
async fn publish(cluster: &mut Cluster, topic: &str, count: u32) -> Result<(), Box<dyn Error>> {
    let new =
        pb::CreateTopicRequest { name: topic.into(), partitions: PARTITIONS, if_absent: true, ..Default::default() };
    let created = cluster.ask(async |at| TopicServiceClient::new(at).create_topic(new.clone()).await).await?;
    let partitions = created.topic.ok_or("a created topic is described")?.partitions.len() as u32;
    let nameless = pb::OpenProducerRequest::default();
    let producer = cluster.ask(async |at| StreamServiceClient::new(at).open_producer(nameless.clone()).await).await?;
    let (mut sequences, mut duplicates) = (HashMap::<u32, u64>::new(), 0);
    for number in 0..count {
        let key = format!("k{}", number % 10).into_bytes();
        let partition = partition_of(&key, partitions);
        let sequence = sequences.entry(partition).or_default();
        let record = pb::Record { key: Some(key), value: number.to_string().into_bytes(), ..Default::default() };
        let request = pb::PublishRequest {
            topic: topic.into(),
            partition: Some(partition),
            records: vec![record],
            producer_id: producer.producer_id,
            producer_epoch: producer.producer_epoch,
            base_sequence: *sequence,
            ..Default::default()
        };
        let answer = cluster.ask(async |at| StreamServiceClient::new(at).publish(request.clone()).await).await?;
        *sequence += 1;
        duplicates += u32::from(answer.receipts[0].duplicate);
    }
    println!("{{\"receipts\": {count}, \"duplicates\": {duplicates}}}");
    Ok(())
}

/// One member of a group, whichever node it talks to.
#[derive(Default)]
struct Member {
    join: pb::Join, // With the session, which tells the next node who we are.
    wanted: i64,
    work: Duration,
    processed: HashMap<pb::Held, i64>, // Said again to the next node, and what it delivers below is passed over.
}

impl Member {
    /// One stream, from join to drained, or to the node's death: then it is the next node's turn.
    async fn talk(&mut self, cluster: &mut Cluster) -> Result<(), Status> {
        let (requests, outgoing) = mpsc::unbounded_channel();
        let say = |request| _ = requests.send(pb::SubscribeRequest { request: Some(request) });
        say(Request::Join(self.join.clone()));
        let commit = |held: &pb::Held, position| {
            let positions = vec![pb::CommitPosition { held: Some(held.clone()), position }];
            say(Request::Commit(pb::Commit { positions, ..Default::default() }));
        };
        self.processed.iter().for_each(|(held, position)| commit(held, *position));
        let mut node = GroupServiceClient::new(cluster.channels[0].1.clone());
        let mut stream = node.subscribe(UnboundedReceiverStream::new(outgoing)).await?.into_inner();
        let mut draining = false;
        while let Some(pb::SubscribeResponse { response }) = stream.message().await? {
            cluster.failures = 0;
            match response {
                Some(Response::Joined(joined)) => self.join.session = joined.session,
                Some(Response::Delivered(pb::Delivered { held, read })) => {
                    let (held, read) = (held.unwrap_or_default(), read.unwrap_or_default());
                    let processed = self.processed.entry(held.clone()).or_default();
                    for record in read.records.iter().filter(|record| record.offset >= *processed) {
                        sleep(self.work).await; // This is the application.
                        let (key, value) =
                            (String::from_utf8_lossy(record.key()), String::from_utf8_lossy(&record.value));
                        println!("record {} {} {key} {value}", held.partition, record.offset);
                        self.wanted -= 1;
                    }
                    *processed = read.position.max(*processed);
                    commit(&held, *processed);
                }
                Some(Response::Committed(pb::Committed { positions, error, .. })) => {
                    for pb::CommitPosition { held, position } in positions {
                        let held = held.unwrap_or_default();
                        let Some(error) = &error else {
                            println!("committed {} {position}", held.partition);
                            continue;
                        };
                        eprintln!("not committed: {}", error.message); // It is somebody else's by now.
                        self.processed.remove(&held);
                    }
                }
                // What came of them was processed, and its commits were said before this.
                Some(Response::Revoke(pb::Revoke { partitions })) => say(Request::Release(pb::Release { partitions })),
                Some(Response::Drained(_)) => return Ok(()),
                _ => {} // Nothing to do for assign and lose: records say whose they are.
            }
            if self.wanted <= 0 && !draining {
                draining = true;
                say(Request::Drain(pb::Drain {}));
            }
        }
        Err(Status::unavailable("the stream ended before the member had drained"))
    }
}

/// Plain text (none), or TLS if any of these files is named; without an authority the system's are trusted.
fn secured(ca: &str, cert: &str, key: &str) -> Result<Option<ClientTlsConfig>, Box<dyn Error>> {
    if [ca, cert, key].iter().all(|file| file.is_empty()) {
        return Ok(None);
    }
    let mut tls = ClientTlsConfig::new();
    tls =
        if ca.is_empty() { tls.with_native_roots() } else { tls.ca_certificate(Certificate::from_pem(fs::read(ca)?)) };
    if !(cert.is_empty() && key.is_empty()) {
        tls = tls.identity(Identity::from_pem(fs::read(cert)?, fs::read(key)?));
    }
    Ok(Some(tls))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let options: HashMap<&str, &str> = arguments.chunks(2).map(|pair| (pair[0].as_str(), pair[1].as_str())).collect();
    let option = |name, default| *options.get(name).unwrap_or(&default);
    let partitions: u32 = option("--partitions", "0").parse()?;
    while partitions > 0
        && let Some(key) = std::io::stdin().lines().next()
    {
        println!("{}", partition_of(key?.as_bytes(), partitions));
    }
    let file = |name: &str| {
        let said = env::var(format!("RIVERRUN_TLS_{}", name.to_uppercase())).unwrap_or_default();
        options.get(format!("--tls-{name}").as_str()).map_or(said, |file| file.to_string())
    };
    let tls = secured(&file("ca"), &file("cert"), &file("key"))?;
    let mut cluster = Cluster::new(option("--servers", "127.0.0.1:7171"), tls)?;
    let (topic, group) = (option("--topic", "example").to_string(), option("--group", "example").to_string());
    let (count, wanted) = (option("--publish", "0").parse()?, option("--consume", "0").parse()?);
    if count > 0 {
        publish(&mut cluster, &topic, count).await?;
    }
    let join = pb::Join { group, topics: vec![topic], client: "example in Rust".into(), ..Default::default() };
    let work = Duration::from_millis(option("--work-ms", "0").parse()?);
    let mut member = Member { join, wanted, work, ..Default::default() };
    while wanted > 0
        && let Err(error) = member.talk(&mut cluster).await
    {
        cluster.failed(error).await?;
    }
    Ok(())
}
