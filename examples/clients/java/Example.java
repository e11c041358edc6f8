import com.google.protobuf.ByteString;
import io.grpc.*;
import io.grpc.stub.*;
import java.io.*;
import java.nio.charset.StandardCharsets;
import java.util.*;
import java.util.concurrent.*;
import java.util.function.*;
import java.util.zip.CRC32C;
import riverrun.v1.*;
import riverrun.v1.Record; // Not that of java.lang.

/** A topic, keyed records and a group, on code generated from proto/riverrun/v1 alone; ../README.md: how to run it. */
public class Example {
    static final int TOPIC_PARTITIONS = 12;
    static final int FAILURES_MAX = 150; // After so many in a row there is no cluster: half a minute at least.

    /** Others are tried again, at another node; NOT_FOUND, too: news of a topic takes a moment to reach every node. */
    static final Set<Status.Code> FINAL = Set.of(Status.Code.INVALID_ARGUMENT, Status.Code.ALREADY_EXISTS,
            Status.Code.FAILED_PRECONDITION, Status.Code.OUT_OF_RANGE, Status.Code.ABORTED,
            Status.Code.PERMISSION_DENIED, Status.Code.UNIMPLEMENTED);

    /** A channel to each node; any node takes any request. */
    static class Cluster {
        private final Deque<ManagedChannel> channels = new ArrayDeque<>();
        int failures; // Since the last answer.

        Cluster(ChannelCredentials credentials, String... servers) {
            for (var server : servers) {
                channels.add(Grpc.newChannelBuilder(server, credentials)
                        .keepAliveTime(10, TimeUnit.SECONDS).keepAliveTimeout(2, TimeUnit.SECONDS).build());
            }
        }

        ManagedChannel channel() { return channels.getFirst(); }

        /** Moves on to the next node, unless that would say the same. */
        void failed(StatusRuntimeException error) throws InterruptedException {
            System.err.println(channel().authority() + ": " + error.getMessage());
            if (++failures > FAILURES_MAX || FINAL.contains(error.getStatus().getCode())) throw error;
            channels.addLast(channels.removeFirst());
            Thread.sleep(200);
        }

        /** Makes a call until a node answers it. */
        <Response> Response ask(Supplier<Response> call) throws InterruptedException {
            while (true) {
                try {
                    Response response = call.get();
                    failures = 0;
                    return response;
                } catch (StatusRuntimeException error) { failed(error); }
            }
        }

        /** A stub for the node of now. */
        <Stub extends AbstractStub<Stub>> Stub at(Function<Channel, Stub> service) {
            return service.apply(channel()).withDeadlineAfter(5, TimeUnit.SECONDS); // A node gets so long.
        }
    }

    /** The cluster's partitioner, version 1. */
    static int partitionOf(String key, int partitions) {
        CRC32C checksum = new CRC32C();
        checksum.update(key.getBytes(StandardCharsets.UTF_8));
        return (int) (checksum.getValue() % partitions);
    }

    /**
     * Sends a record a request. A producer's id, with a sequence for each partition, makes it harmless to send a
     * request again whose answer was lost: if it had been appended, the receipt says "duplicate" and has its offset.
     */
    static void publish(Cluster cluster, String topic, int count) throws InterruptedException {
        var wanted = CreateTopicRequest.newBuilder().setName(topic).setPartitions(TOPIC_PARTITIONS).setIfAbsent(true);
        var created = cluster.ask(() -> cluster.at(TopicServiceGrpc::newBlockingStub).createTopic(wanted.build()));
        var nameless = OpenProducerRequest.getDefaultInstance();
        var producer = cluster.ask(() -> cluster.at(StreamServiceGrpc::newBlockingStub).openProducer(nameless));
        Map<Integer, Long> sequences = new HashMap<>();
        int duplicates = 0;
        for (int number = 0; number < count; number++) {
            String key = "k" + number % 10;
            int partition = partitionOf(key, created.getTopic().getPartitionsCount());
            long sequence = sequences.getOrDefault(partition, 0L);
            var request = PublishRequest.newBuilder().setTopic(topic).setPartition(partition)
                    .addRecords(Record.newBuilder().setKey(ByteString.copyFromUtf8(key))
                            .setValue(ByteString.copyFromUtf8(Integer.toString(number))))
                    .setProducerId(producer.getProducerId()).setProducerEpoch(producer.getProducerEpoch())
                    .setBaseSequence(sequence).build();
            var response = cluster.ask(() -> cluster.at(StreamServiceGrpc::newBlockingStub).publish(request));
            sequences.put(partition, sequence + 1);
            duplicates += response.getReceipts(0).getDuplicate() ? 1 : 0;
        }
        System.out.printf("{\"receipts\": %d, \"duplicates\": %d}%n", count, duplicates);
    }

    /** One member of a group, whichever node it talks to. */
    static class Member {
        private final Join.Builder join; // With the session, which tells the next node who we are.
        private int wanted, workMs;
        private final Map<Held, Long> processed = new HashMap<>(); // Said again to the next node; passed over below.

        Member(String group, String topic, int wanted, int workMs) {
            this.join = Join.newBuilder().setGroup(group).addTopics(topic).setClient("example in Java");
            this.wanted = wanted;
            this.workMs = workMs;
        }

        /** One stream, from join to drained, or to the node's death, which it throws: the next one has its turn. */
        void talk(Cluster cluster) throws InterruptedException {
            var inbox = new LinkedBlockingQueue<Object>();
            var incoming = new ClientResponseObserver<SubscribeRequest, SubscribeResponse>() {
                public void beforeStart(ClientCallStreamObserver<SubscribeRequest> stream) {
                    stream.disableAutoRequestWithInitial(2); // So much waits in the inbox.
                }
                public void onNext(SubscribeResponse response) { inbox.add(response); }
                public void onError(Throwable error) { inbox.add(error); }
                public void onCompleted() { inbox.add(Status.UNAVAILABLE.asRuntimeException()); }
            };
            var stub = GroupServiceGrpc.newStub(cluster.channel());
            var stream = (ClientCallStreamObserver<SubscribeRequest>) stub.subscribe(incoming);
            Consumer<SubscribeRequest.Builder> say = request -> stream.onNext(request.build()); // Never waits.
            say.accept(SubscribeRequest.newBuilder().setJoin(join));
            BiConsumer<Held, Long> commit = (held, position) -> say.accept(SubscribeRequest.newBuilder().setCommit(
                    Commit.newBuilder().addPositions(CommitPosition.newBuilder().setHeld(held).setPosition(position))));
            processed.forEach(commit);
            for (boolean draining = false; ; ) {
                Object item = inbox.take();
                if (item instanceof StatusRuntimeException error) throw error;
                var response = (SubscribeResponse) item;
                stream.request(1);
                cluster.failures = 0;
                switch (response.getResponseCase()) {
                    case JOINED -> join.setSession(response.getJoined().getSession());
                    case DELIVERED -> {
                        Held held = response.getDelivered().getHeld();
                        process(held, response.getDelivered().getRead());
                        commit.accept(held, processed.get(held));
                    }
                    case COMMITTED -> committed(response.getCommitted());
                    // What came of these was processed, and its commits were said before this.
                    case REVOKE -> say.accept(SubscribeRequest.newBuilder().setRelease(
                            Release.newBuilder().addAllPartitions(response.getRevoke().getPartitionsList())));
                    case DRAINED -> { return; }
                    default -> { } // Nothing to do for assign and lose: records say whose they are.
                }
                if (wanted <= 0 && !draining) {
                    draining = true;
                    say.accept(SubscribeRequest.newBuilder().setDrain(Drain.getDefaultInstance()));
                }
            }
        }

        /** The application. */
        private void process(Held held, ReadResponse read) throws InterruptedException {
            for (Record record : read.getRecordsList()) {
                if (record.getOffset() < processed.getOrDefault(held, 0L)) continue;
                Thread.sleep(workMs);
                System.out.printf("record %d %d %s %s%n", held.getPartition(), record.getOffset(),
                        record.getKey().toStringUtf8(), record.getValue().toStringUtf8());
                wanted--;
            }
            processed.merge(held, read.getPosition(), Math::max);
        }

        private void committed(Committed answer) {
            CommitPosition said = answer.getPositions(0);
            if (!answer.hasError()) {
                System.out.printf("committed %d %d%n", said.getHeld().getPartition(), said.getPosition());
            } else { // The partition is somebody else's by now, and so are its records.
                System.err.println("not committed: " + answer.getError().getMessage());
                processed.remove(said.getHeld());
            }
        }
    }

    /** Plain text, or TLS if any of these files is named; without an authority Java's own are trusted. */
    static ChannelCredentials secured(String ca, String cert, String key) throws IOException {
        if ((ca + cert + key).isEmpty()) return InsecureChannelCredentials.create();
        var tls = TlsChannelCredentials.newBuilder();
        if (!ca.isEmpty()) tls.trustManager(new File(ca));
        if (!(cert + key).isEmpty()) tls.keyManager(new File(cert), new File(key));
        return tls.build();
    }

    public static void main(String[] arguments) throws Exception {
        Map<String, String> options = new HashMap<>(Map.of("--servers", "127.0.0.1:7171", "--topic", "example",
                "--group", "example", "--publish", "0", "--consume", "0", "--work-ms", "0", "--partitions", "0"));
        for (var name : List.of("ca", "cert", "key")) { // The CAs (PEM) of the nodes; what to show where they want it.
            options.put("--tls-" + name, System.getenv().getOrDefault("RIVERRUN_TLS_" + name.toUpperCase(), ""));
        }
        for (int at = 0; at < arguments.length; at += 2) options.put(arguments[at], arguments[at + 1]);
        int partitions = Integer.parseInt(options.get("--partitions"));
        if (partitions > 0) { // Of each key on standard input.
            new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8)).lines()
                    .forEach(key -> System.out.println(partitionOf(key, partitions)));
        }
        var security = secured(options.get("--tls-ca"), options.get("--tls-cert"), options.get("--tls-key"));
        Cluster cluster = new Cluster(security, options.get("--servers").split(","));
        int count = Integer.parseInt(options.get("--publish"));
        if (count > 0) publish(cluster, options.get("--topic"), count);
        Member member = new Member(options.get("--group"), options.get("--topic"),
                Integer.parseInt(options.get("--consume")), Integer.parseInt(options.get("--work-ms")));
        for (boolean left = member.wanted == 0; !left; ) {
            try { member.talk(cluster); left = true; } catch (StatusRuntimeException error) { cluster.failed(error); }
        }
    }
}
