// graphile-worker: a queue in the same Postgres.
"use strict";
const { makeWorkerUtils, run: runWorker, Logger } = require("graphile-worker");
const { config, perform, pool, run } = require("./job.js");

const logger = new Logger(() => (level, message) => level === "error" && console.error(message));
// As its documentation advises for many small jobs; large ones are to be spread over the processes, not fetched ahead.
const ahead = { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 };
let utils;

run({
    batchJobs: 1000,
    async work() {
        const runner = await runWorker({
            pgPool: pool,
            logger,
            noHandleSignals: true,
            taskList: { send: perform },
            preset: { worker: { concurrentJobs: config.jobs, ...(config.is_small ? ahead : {}) } },
        });
        return () => runner.stop();
    },
    async prepare() {
        utils = await makeWorkerUtils({ pgPool: pool, logger });
        await utils.migrate();
        return () => utils.release();
    },
    enqueue: (jobs) => utils.addJobs(jobs.map((payload) => ({ identifier: "send", payload }))),
});
