// BullMQ: a queue in Redis.
"use strict";
const { Queue, Worker } = require("bullmq");
const { config, perform, run } = require("./job.js");

const connection = { host: "127.0.0.1", port: config.redis_port, maxRetriesPerRequest: null };
let queue;

run({
    batchJobs: 1000,
    async work() {
        const worker = new Worker(config.queue, (job) => perform(job.data), { connection, concurrency: config.jobs });
        worker.on("error", console.error);
        worker.on("failed", (_, error) => console.error(error));
        await worker.waitUntilReady();
        return () => worker.close();
    },
    async prepare() {
        queue = new Queue(config.queue, { connection });
        await queue.waitUntilReady();
        return () => queue.close();
    },
    enqueue: (jobs) => queue.addBulk(jobs.map((data) => ({ name: "send", data, opts: { removeOnComplete: true } }))),
});
