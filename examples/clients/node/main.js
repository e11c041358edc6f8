// A topic, keyed records and a group, on proto/riverrun/v1 alone, which is read at the start: no code is generated.
// ../README.md says how to run it.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";

import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const TOPIC_PARTITIONS = 12;
const TIMEOUT_MS = 5_000; // A node gets so long for one request.
const FAILURES_MAX = 150; // After so many in a row there is no cluster: half a minute at least.
const CHANNEL = {
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 2_000,
};

// Whatever has another code is tried again, at another node. NOT_FOUND is not here, since news of a topic takes a
// moment to reach every node.
const { status } = grpc;
const FINAL = [status.INVALID_ARGUMENT, status.ALREADY_EXISTS, status.FAILED_PRECONDITION, status.OUT_OF_RANGE,
  status.ABORTED, status.PERMISSION_DENIED, status.UNIMPLEMENTED];

const definition = loadSync(["topic", "stream", "group"].map((name) => `riverrun/v1/${name}.proto`), {
  includeDirs: [fileURLToPath(new URL("../../../proto", import.meta.url))],
  keepCase: true,
  defaults: true,
  oneofs: true, // `response.response` names what a response is
  longs: String, // a 64-bit number may be above what a JavaScript number holds
});
const { TopicService, StreamService, GroupService } = grpc.loadPackageDefinition(definition).riverrun.v1;

/** Clients of each node; any node takes any request. */
class Cluster {
  failures = 0; // Since the last answer.
  #clients = new Map();

  constructor(servers, credentials) { Object.assign(this, { servers, credentials }); }

  client(Service) {
    const name = `${Service.serviceName} at ${this.servers[0]}`;
    if (!this.#clients.has(name)) {
      this.#clients.set(name, new Service(this.servers[0], this.credentials, CHANNEL));
    }
    return this.#clients.get(name);
  }

  close() {
    for (const client of this.#clients.values()) client.close();
  }

  /** Moves on to the next node, unless that would say the same. */
  async failed(error) {
    console.error(`${this.servers[0]}: ${error.message}`);
    this.failures += 1;
    if (this.failures > FAILURES_MAX || FINAL.includes(error.code) || error.code === undefined) throw error;
    this.servers.push(this.servers.shift());
    await sleep(200);
  }

  /** Makes a call until a node answers it. */
  async ask(Service, method, request) {
    for (;;) {
      try {
        const client = this.client(Service);
        const response = await promisify(client[method]).call(client, request, { deadline: Date.now() + TIMEOUT_MS });
        this.failures = 0;
        return response;
      } catch (error) {
        await this.failed(error);
      }
    }
  }
}

/** CRC32C (Castagnoli), bit by bit: keys are short. */
function crc32c(bytes) {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
}

/** The cluster's partitioner, version 1. */
const partitionOf = (key, partitions) => crc32c(Buffer.from(key)) % partitions;

/**
 * Sends a record a request. A producer's id, with a sequence for each partition, makes it harmless to send a request
 * again whose answer was lost: if it had been appended, the receipt says "duplicate" and has its offset.
 */
async function publish(cluster, topic, count) {
  const wanted = { name: topic, partitions: TOPIC_PARTITIONS, if_absent: true };
  const created = await cluster.ask(TopicService, "CreateTopic", wanted);
  const { producer_id, producer_epoch } = await cluster.ask(StreamService, "OpenProducer", {});
  const sequences = new Map();
  let duplicates = 0;
  for (let number = 0; number < count; number += 1) {
    const key = `k${number % 10}`;
    const partition = partitionOf(key, created.topic.partitions.length);
    const base_sequence = sequences.get(partition) ?? 0;
    const records = [{ key: Buffer.from(key), value: Buffer.from(`${number}`) }];
    const request = { topic, partition, records, producer_id, producer_epoch, base_sequence };
    const { receipts: [receipt] } = await cluster.ask(StreamService, "Publish", request);
    sequences.set(partition, base_sequence + 1);
    if (receipt.duplicate) duplicates += 1;
  }
  console.log(JSON.stringify({ receipts: count, duplicates }));
}

const keyOf = ({ partition, generation }) => `${partition} ${generation}`;

/** One member of a group, whichever node it talks to. */
class Member {
  session = Buffer.alloc(0); // Says to the next node who we are: our partitions stay ours.
  processed = new Map(); // Said again to the next node, and what it delivers below these positions is passed over.

  constructor(options) {
    Object.assign(this, options); // group, topic, wanted, workMs
  }

  /** One stream, from join to drained, or to the node's death, which it throws: then it is the next node's turn. */
  async talk(cluster) {
    const stream = cluster.client(GroupService).Subscribe();
    const join = { group: this.group, topics: [this.topic], client: "example in Node.js", session: this.session };
    stream.write({ join });
    for (const position of this.processed.values()) stream.write({ commit: { positions: [position] } });
    let draining = false;
    for await (const response of stream) {
      cluster.failures = 0;
      switch (response.response) {
        case "joined": this.session = response.joined.session; break;
        case "delivered":
          stream.write({ commit: { positions: [await this.process(response.delivered)] } });
          break;
        case "committed": this.committed(response.committed); break;
        case "revoke": // What came of them was processed, and its commits were said before this.
          stream.write({ release: { partitions: response.revoke.partitions } });
          break;
        case "drained": return true;
        default: // Nothing to do for assign and lose: records say whose they are.
      }
      if (this.wanted > 0 || draining) continue;
      draining = true;
      stream.write({ drain: {} });
    }
  }

  /** The application; how far it is. */
  async process({ held, read }) {
    const begin = this.processed.get(keyOf(held))?.position ?? 0;
    for (const { offset, key, value } of read.records) {
      if (+offset < begin) continue;
      if (this.workMs) await sleep(this.workMs);
      console.log(`record ${held.partition} ${offset} ${key} ${value}`);
      this.wanted -= 1;
    }
    const processed = { held, position: Math.max(read.position, begin) };
    this.processed.set(keyOf(held), processed);
    return processed;
  }

  committed({ positions: [{ held, position }], error }) {
    if (!error) {
      console.log(`committed ${held.partition} ${position}`);
    } else { // The partition is somebody else's by now, and so are its records.
      console.error(`not committed: ${error.message}`);
      this.processed.delete(keyOf(held));
    }
  }
}

/** Plain text, or TLS if any of these files is named; without an authority Node.js's own are trusted. */
function secured(files) {
  if (!files.some(Boolean)) return grpc.credentials.createInsecure();
  const [ca, cert, key] = files.map((file) => (file ? readFileSync(file) : null));
  return grpc.credentials.createSsl(ca, key, cert);
}

const environment = process.env;
const { values: options } = parseArgs({
  options: {
    servers: { type: "string", default: "127.0.0.1:7171" }, // separated by commas
    topic: { type: "string", default: "example" },
    group: { type: "string", default: "example" },
    publish: { type: "string", default: "0" }, // so many records
    consume: { type: "string", default: "0" }, // so many records of the group
    "work-ms": { type: "string", default: "0" }, // processing a record takes so long
    "tls-ca": { type: "string", default: environment.RIVERRUN_TLS_CA }, // the CAs (PEM) of the nodes: speak TLS
    "tls-cert": { type: "string", default: environment.RIVERRUN_TLS_CERT }, // to show, where nodes want one
    "tls-key": { type: "string", default: environment.RIVERRUN_TLS_KEY }, // its private key
    partitions: { type: "string" }, // print the partition, of so many, of each key on standard input
  },
});
const keys = options.partitions ? createInterface({ input: process.stdin }) : [];
for await (const key of keys) console.log(partitionOf(key, +options.partitions));
const security = secured(["ca", "cert", "key"].map((name) => options[`tls-${name}`]));
const cluster = new Cluster(options.servers.split(","), security);
if (+options.publish) await publish(cluster, options.topic, +options.publish);
if (+options.consume) {
  const { group, topic, consume: wanted, "work-ms": workMs } = options;
  const member = new Member({ group, topic, wanted: +wanted, workMs: +workMs });
  for (let left = false; !left; ) left = await member.talk(cluster).catch((error) => cluster.failed(error));
}
cluster.close();
