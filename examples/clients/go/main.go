// A topic, keyed records and a group, on code generated from proto/riverrun/v1 alone. ../README.md says how to run it.
package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"hash/crc32"
	"log"
	"os"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	pb "riverrun-example/riverrun/v1"
)

const (
	topicPartitions = 12
	timeout         = 5 * time.Second // A node gets so long for one request.
	failuresMax     = 150             // After so many in a row there is no cluster: half a minute at least.
)

// Others are tried again, at another node; NotFound, too: news of a topic takes a moment to reach every node.
var final = []codes.Code{codes.InvalidArgument, codes.AlreadyExists, codes.FailedPrecondition, codes.OutOfRange,
	codes.Aborted, codes.PermissionDenied, codes.Unimplemented}

// Cluster has a channel to each node; any node takes any request.
type Cluster struct {
	channels []*grpc.ClientConn // The first is the one in use.
	failures int                // Since the last answer.
}

// failed moves on to the next node, unless that would say the same.
func (c *Cluster) failed(err error) {
	log.Printf("%s: %v", c.channels[0].Target(), err)
	if c.failures++; c.failures > failuresMax || slices.Contains(final, status.Code(err)) {
		log.Fatal("giving up")
	}
	c.channels = append(c.channels[1:], c.channels[0])
	time.Sleep(200 * time.Millisecond)
}

// ask makes a call until a node answers it.
func ask[Response any](c *Cluster, call func(context.Context) (Response, error)) Response {
	for {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		response, err := call(ctx)
		cancel()
		if err == nil {
			c.failures = 0
			return response
		}
		c.failed(err)
	}
}

// partitionOf is the cluster's partitioner, version 1.
func partitionOf(key string, partitions int) uint32 {
	return crc32.Checksum([]byte(key), crc32.MakeTable(crc32.Castagnoli)) % uint32(partitions)
}

// publish sends a record a request. A producer's id, with a sequence for each partition, makes it harmless to send a
// request again whose answer was lost: if it had been appended, the receipt says "duplicate" and has its offset.
func publish(c *Cluster, topic string, count int) {
	created := ask(c, func(ctx context.Context) (*pb.CreateTopicResponse, error) {
		request := &pb.CreateTopicRequest{Name: topic, Partitions: topicPartitions, IfAbsent: true}
		return pb.NewTopicServiceClient(c.channels[0]).CreateTopic(ctx, request)
	})
	producer := ask(c, func(ctx context.Context) (*pb.OpenProducerResponse, error) {
		return pb.NewStreamServiceClient(c.channels[0]).OpenProducer(ctx, &pb.OpenProducerRequest{})
	})
	sequences, duplicates := make(map[uint32]uint64), 0
	for number := range count {
		key := fmt.Sprintf("k%d", number%10)
		partition := partitionOf(key, len(created.Topic.Partitions))
		request := &pb.PublishRequest{
			Topic: topic, Partition: &partition,
			Records:    []*pb.Record{{Key: []byte(key), Value: fmt.Append(nil, number)}},
			ProducerId: producer.ProducerId, ProducerEpoch: producer.ProducerEpoch, BaseSequence: sequences[partition],
		}
		response := ask(c, func(ctx context.Context) (*pb.PublishResponse, error) {
			return pb.NewStreamServiceClient(c.channels[0]).Publish(ctx, request)
		})
		sequences[partition]++
		if response.Receipts[0].Duplicate {
			duplicates++
		}
	}
	fmt.Printf("{\"receipts\": %d, \"duplicates\": %d}\n", count, duplicates)
}

// Member is one member of a group, whichever node it talks to.
type Member struct {
	group, topic string
	wanted       int
	session      []byte // Says to the next node who we are: our partitions stay ours.
	// By partition and generation. They are said again to the next node, and what it delivers below is passed over.
	processed map[[2]uint64]*pb.CommitPosition
}

func key(held *pb.Held) [2]uint64 { return [2]uint64{uint64(held.Partition), held.Generation} }

// talk is one stream, from join to drained, or to the node's death: then it is the next node's turn.
func (m *Member) talk(c *Cluster, workMs int) error {
	stream, err := pb.NewGroupServiceClient(c.channels[0]).Subscribe(context.Background())
	if err != nil {
		return err
	}
	say := func(request *pb.SubscribeRequest) { stream.Send(request) } // Recv tells what became of a broken stream.
	join := &pb.Join{Group: m.group, Topics: []string{m.topic}, Client: "example in Go", Session: m.session}
	say(&pb.SubscribeRequest{Request: &pb.SubscribeRequest_Join{Join: join}})
	commit := func(position *pb.CommitPosition) {
		commit := &pb.Commit{Positions: []*pb.CommitPosition{position}}
		say(&pb.SubscribeRequest{Request: &pb.SubscribeRequest_Commit{Commit: commit}})
	}
	for _, position := range m.processed {
		commit(position)
	}
	for draining := false; ; {
		if m.wanted <= 0 && !draining {
			draining = true
			say(&pb.SubscribeRequest{Request: &pb.SubscribeRequest_Drain{Drain: &pb.Drain{}}})
		}
		response, err := stream.Recv()
		if err != nil {
			return err
		}
		c.failures = 0
		switch it := response.Response.(type) {
		case *pb.SubscribeResponse_Joined:
			m.session = it.Joined.Session
		case *pb.SubscribeResponse_Delivered:
			held, read := it.Delivered.Held, it.Delivered.Read
			begin := m.processed[key(held)].GetPosition()
			for _, record := range read.Records {
				if record.Offset < begin {
					continue
				}
				time.Sleep(time.Duration(workMs) * time.Millisecond) // This is the application.
				fmt.Println("record", held.Partition, record.Offset, string(record.Key), string(record.Value))
				m.wanted--
			}
			m.processed[key(held)] = &pb.CommitPosition{Held: held, Position: max(read.Position, begin)}
			commit(m.processed[key(held)])
		case *pb.SubscribeResponse_Committed:
			said := it.Committed.Positions[0]
			if it.Committed.Error == nil {
				fmt.Println("committed", said.Held.Partition, said.Position)
			} else { // The partition is somebody else's by now, and so are its records.
				log.Println("not committed:", it.Committed.Error.Message)
				delete(m.processed, key(said.Held))
			}
		case *pb.SubscribeResponse_Revoke: // What came of them was processed, and its commits were said before this.
			release := &pb.Release{Partitions: it.Revoke.Partitions}
			say(&pb.SubscribeRequest{Request: &pb.SubscribeRequest_Release{Release: release}})
		case *pb.SubscribeResponse_Drained:
			return nil
		} // Nothing to do for assign and lose: records say whose they are.
	}
}

// secured is plain text, or TLS if any of these files is named; without an authority the system's are trusted.
func secured(ca, cert, key string) (credentials.TransportCredentials, error) {
	if cmp.Or(ca, cert, key) == "" {
		return insecure.NewCredentials(), nil
	}
	config := new(tls.Config)
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, err
		}
		if config.RootCAs = x509.NewCertPool(); !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s: no certificate in it", ca)
		}
	}
	if cert != "" || key != "" {
		own, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{own}
	}
	return credentials.NewTLS(config), nil
}

func main() {
	servers := flag.String("servers", "127.0.0.1:7171", "nodes, separated by commas")
	topic := flag.String("topic", "example", "its name")
	group := flag.String("group", "example", "its name")
	count := flag.Int("publish", 0, "publish so many records")
	wanted := flag.Int("consume", 0, "process so many records of the group")
	workMs := flag.Int("work-ms", 0, "processing a record takes so long")
	partitions := flag.Int("partitions", 0, "print the partition, of so many, of each key on standard input")
	ca := flag.String("tls-ca", os.Getenv("RIVERRUN_TLS_CA"), "the CAs (PEM) of the nodes' certificates: speak TLS")
	cert := flag.String("tls-cert", os.Getenv("RIVERRUN_TLS_CERT"), "the certificate to show, where nodes want one")
	tlsKey := flag.String("tls-key", os.Getenv("RIVERRUN_TLS_KEY"), "its private key")
	flag.Parse()
	for keys := bufio.NewScanner(os.Stdin); *partitions > 0 && keys.Scan(); {
		fmt.Println(partitionOf(keys.Text(), *partitions))
	}
	security, err := secured(*ca, *cert, *tlsKey)
	if err != nil {
		log.Fatal(err)
	}
	cluster := new(Cluster)
	for server := range strings.SplitSeq(*servers, ",") {
		channel, err := grpc.NewClient(server, grpc.WithTransportCredentials(security),
			grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 2 * time.Second}))
		if err != nil {
			log.Fatal(err)
		}
		cluster.channels = append(cluster.channels, channel)
	}
	if *count > 0 {
		publish(cluster, *topic, *count)
	}
	if *wanted > 0 {
		member := &Member{group: *group, topic: *topic, wanted: *wanted,
			processed: make(map[[2]uint64]*pb.CommitPosition)}
		for err := member.talk(cluster, *workMs); err != nil; err = member.talk(cluster, *workMs) {
			cluster.failed(err)
		}
	}
}
