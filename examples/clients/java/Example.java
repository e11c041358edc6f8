import com.google.protobuf.ByteString;
import io.grpc.*;
import io.grpc.stub.AbstractStub;
import java.io.*;
import java.nio.charset.StandardCharsets;
import java.util.*;
import java.util.concurrent.*;
import java.util.function.Function;
import java.util.zip.CRC32C;
import riverrun.v1.*;
import riverrun.v1.GroupOuterClass.*;
import riverrun.v1.RecordsOuterClass.Record;
import riverrun.v1.Stream.*;
import riverrun.v1.TopicOuterClass.CreateTopicRequest;

/** A topic, keyed records and a group, on code generated from proto/riverrun/v1 alone; ../README.md: how to run it. */
public class Example {
    static final int TOPIC_PARTITIONS = 12;
    static final int TIMEOUT_S = 5; // A node gets so long for one request.
    static final int MESSAGE_BYTES_MAX = 32 << 20; // As the nodes have it; gRPC's own limit is 4 MiB.
    static final int FAILURES_MAX = 150; // After so many in a row there is no cluster: half a minute at least.

    /** Others are tried again, at another node; NOT_FOUND, too: news of a topic takes a moment to reach every node. */
    static final Set<Status.Code> FINAL = Set.of(Status.Code.INVALID_ARGUMENT, Status.Code.ALREADY_EXISTS,
            Status.Code.FAILED_PRECONDITION, Status.Code.OUT_OF_RANGE, Status.Code.ABORTED,
            Status.Code.PERMISSION_DENIED, Status.Code.UNIMPLEMENTED);

    /** A channel to each node; any node takes any request. */
    static class Cluster {
        private final Deque<ManagedChannel> channels = new ArrayDeque<>();
        int failures; // Since the last answer.

        Cluster(String... servers) {
            for (var server : servers) {
                channels.add(Grpc.newChannelBuilder(server, InsecureChannelCredentials.create())
                        .keepAliveTime(10, TimeUnit.SECONDS).keepAliveTimeout(2, TimeUnit.SECONDS)
                        .maxInboundMessageSize(MESSAGE_BYTES_MAX).build());
            }
        }

        ManagedChannel channel() { return channels.getFirst(); }

        /** Moves on to the next node, unless that would say the same. */
        void failed(StatusException error) throws StatusException, InterruptedException {
            System.err.println(channel().authority() + ": " + error.getMessage());
            if (++failures > FAILURES_MAX || FINAL.contains(error.getStatus().getCode())) throw error;
            channels.addLast(channels.removeFirst());
            Thread.sleep(200);
        }

        /** Makes a call until a node answers it. */
        <Response> Response ask(Callable<Response> call) throws Exception {
            while (true) {
                try {
                    Response response = call.call();
                    failures = 0;
                    return response;
                } catch (StatusException error) {
                    failed(error);
                }
            }
        }

        /** A stub for the node of now. */
        <Stub extends AbstractStub<Stub>> Stub at(Function<Channel, Stub> service) {
            return service.apply(channel()).withDeadlineAfter(TIMEOUT_S, TimeUnit.SECONDS);
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
    static void publish(Cluster cluster, String topic, int count) throws Exception {
        var wanted = CreateTopicRequest.newBuilder().setName(topic).setPartitions(TOPIC_PARTITIONS).setIfAbsent(true);
        var created = cluster.ask(() -> cluster.at(TopicServiceGrpc::newBlockingV2Stub).createTopic(wanted.build()));
        var nameless = OpenProducerRequest.getDefaultInstance();
        var producer = cluster.ask(() -> cluster.at(StreamServiceGrpc::newBlockingV2Stub).openProducer(nameless));
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
            var response = cluster.ask(() -> cluster.at(StreamServiceGrpc::newBlockingV2Stub).publish(request));
            sequences.put(partition, sequence + 1);
            duplicates += response.getReceipts(0).getDuplicate() ? 1 : 0;
        }
        System.out.printf("{\"receipts\": %d, \"duplicates\": %d}%n", count, duplicates);
    }

    /** One member of a group, whichever node it talks to. */
    static class Member {
        private final Join.Builder join; // With the session, which tells the next node who we are.
        private final int workMs;
        private int wanted;
        private long correlation; // Of the newest commit.
        private final Map<Long, Commit> unanswered = new LinkedHashMap<>(); // They are said again to the next node.

        Member(String group, String topic, int wanted, int workMs) {
            this.join = Join.newBuilder().setGroup(group).addTopics(topic).setClient("example in Java");
            this.wanted = wanted;
            this.workMs = workMs;
        }

        /**
         * One stream, from join to drained, or to the node's death, which it throws: then the next node comes, and
         * what was processed without an answer to its commit is delivered, and processed, once more.
         */
        boolean talk(Cluster cluster) throws StatusException, InterruptedException {
            var stream = GroupServiceGrpc.newBlockingV2Stub(cluster.channel()).subscribe();
            stream.write(SubscribeRequest.newBuilder().setJoin(join).build());
            for (Commit commit : unanswered.values()) {
                stream.write(SubscribeRequest.newBuilder().setCommit(commit).build());
            }
            SubscribeResponse response;
            for (boolean draining = false; (response = stream.read()) != null; ) {
                cluster.failures = 0;
                switch (response.getResponseCase()) {
                    case JOINED -> join.setSession(response.getJoined().getSession());
                    case RECORDS -> {
                        process(response.getRecords());
                        var position = CommitPosition.newBuilder().setHeld(response.getHeld())
                                .setPosition(response.getRecords().getPosition());
                        var commit = Commit.newBuilder().setCorrelation(++correlation).addPositions(position).build();
                        unanswered.put(correlation, commit);
                        stream.write(SubscribeRequest.newBuilder().setCommit(commit).build());
                    }
                    case COMMITTED -> committed(response.getCommitted());
                    case REVOKE -> { // What came of them was processed, and its commits were said before this.
                        var release = Release.newBuilder().addAllPartitions(response.getRevoke().getPartitionsList());
                        stream.write(SubscribeRequest.newBuilder().setRelease(release).build());
                    }
                    case DRAINED -> { return true; }
                    default -> { } // Nothing to do for assign and lose: records say whose they are.
                }
                if (wanted <= 0 && !draining) {
                    draining = true;
                    stream.write(SubscribeRequest.newBuilder().setDrain(Drain.getDefaultInstance()).build());
                }
            }
            return false;
        }

        /** The application. */
        private void process(ReadResponse read) throws InterruptedException {
            for (Record record : read.getRecordsList()) {
                Thread.sleep(workMs);
                System.out.printf("record %d %d %s %s%n", read.getPartition(), record.getOffset(),
                        record.getKey().toStringUtf8(), record.getValue().toStringUtf8());
                wanted--;
            }
        }

        private void committed(Committed answer) {
            CommitPosition position = unanswered.remove(answer.getCorrelation()).getPositions(0);
            if (answer.hasError()) { // The partition is somebody else's by now, and so are its records.
                System.err.println("not committed: " + answer.getError().getMessage());
            } else {
                System.out.printf("committed %d %d%n", position.getHeld().getPartition(), position.getPosition());
            }
        }
    }

    public static void main(String[] arguments) throws Exception {
        Map<String, String> options = new HashMap<>(Map.of("--servers", "127.0.0.1:7171", "--topic", "example",
                "--group", "example", "--publish", "0", "--consume", "0", "--work-ms", "0", "--partitions", "0"));
        for (int at = 0; at < arguments.length; at += 2) options.put(arguments[at], arguments[at + 1]);
        int partitions = Integer.parseInt(options.get("--partitions"));
        if (partitions > 0) { // Of each key on standard input.
            new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8)).lines()
                    .forEach(key -> System.out.println(partitionOf(key, partitions)));
        }
        Cluster cluster = new Cluster(options.get("--servers").split(","));
        int count = Integer.parseInt(options.get("--publish"));
        if (count > 0) publish(cluster, options.get("--topic"), count);
        Member member = new Member(options.get("--group"), options.get("--topic"),
                Integer.parseInt(options.get("--consume")), Integer.parseInt(options.get("--work-ms")));
        for (boolean left = member.wanted == 0; !left; ) {
            try {
                left = member.talk(cluster);
            } catch (StatusException error) {
                cluster.failed(error);
            }
        }
    }
}
