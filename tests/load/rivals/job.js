// A job of any queue in JavaScript: claim its recipients' caps, call the webhook for whoever holds one, write receipts.
"use strict";
const { createHash } = require("node:crypto");
const { createInterface } = require("node:readline");
const { Pool } = require("pg");
const undici = require("undici");

// What rivals.rs measures with: addresses, the message, the statements, how much at once.
const config = JSON.parse(process.env.RIVAL);
const isWorker = process.argv[2] === "worker";

// A connection for each job at once, and some for the queue itself.
const pool = new Pool({ connectionString: config.database, max: isWorker ? config.jobs + 4 : 4 });
pool.on("error", console.error);
pool.on("connect", (connection) => connection.on("error", console.error));
const sink = new URL(config.sink);
const http = new undici.Pool(sink.origin, { connections: config.jobs * config.calls, pipelining: 1 });

async function perform({ n, contacts }) {
    const allowed = (await query(config.caps, { contacts })).map(([contact]) => contact);
    const left = allowed[Symbol.iterator]();
    const lane = async () => {
        for (const contact of left) await call(contact);
    };
    await Promise.all(Array.from({ length: Math.min(config.calls, allowed.length) }, lane));
    const held = new Set(allowed);
    const outcomes = contacts.map((contact) => (held.has(contact) ? "delivered" : "capped"));
    await query(config.receipts, { contacts, outcomes, ns: contacts.map(() => n) });
}

// Prepared once on each connection; `values` names what differs from job to job.
async function query({ name, text, values }, given) {
    const bound = values.map((value) => (value.startsWith("$") ? given[value.slice(1)] : value));
    return (await pool.query({ name, text, values: bound, rowMode: "array" })).rows;
}

async function call(contact) {
    const id = messageId(contact);
    const body = { id, ...config.message, contact_id: contact, sent_at: new Date().toISOString() };
    const answer = await http.request({
        method: "POST",
        path: sink.pathname,
        headers: { "content-type": "application/json", "webhook-id": id },
        body: JSON.stringify(body),
    });
    await answer.body.dump();
    // The queue tries the job again.
    if (answer.statusCode !== 200) throw new Error(`the webhook answered ${answer.statusCode}`);
}

const bytes = (uuid) => Buffer.from(uuid.replaceAll("-", ""), "hex");
const namespace = bytes(config.message.broadcast_id);

// The uuid of version 5 that names this message to this contact: the same in every attempt.
function messageId(contact) {
    const hash = createHash("sha1").update(namespace).update(bytes(contact)).digest();
    hash[6] = (hash[6] & 0x0f) | 0x50;
    hash[8] = (hash[8] & 0x3f) | 0x80;
    const hex = hash.toString("hex", 0, 16);
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

// A worker works until its standard input ends. For each line there an enqueuer enqueues so many jobs more.
async function main({ work, prepare, enqueue, batchJobs }) {
    const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
    const stop = isWorker ? await work() : await prepare();
    const jobs = isWorker ? [] : await audience();
    console.log("ready");
    for await (const line of lines) {
        const due = jobs.splice(0, Number(line));
        while (due.length > 0) await enqueue(due.splice(0, batchJobs));
    }
    await stop();
    await Promise.all([http.close(), pool.end()]);
}

async function audience() {
    const text = "select n, contact_ids as contacts from chunk where broadcast_id = $1 order by n";
    return (await pool.query(text, [config.message.broadcast_id])).rows;
}

function run(queue) {
    main(queue).catch((error) => {
        console.error(error);
        process.exit(1);
    });
}

module.exports = { config, perform, pool, run };
