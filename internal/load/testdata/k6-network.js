// The load of a comparison by gotimeout compare, for k6:
//
//   k6 run compare.js
//   k6 run -e URL=http://lab:8000 compare.js
//
// k6 sees what a caller sees. What goes on after the answer is in the receipts
// that the lab keeps, GET /receipts.
import http from 'k6/http';
import exec from 'k6/execution';
import { Counter, Trend } from 'k6/metrics';

const lab = __ENV.URL || "http://127.0.0.1:8000";

// The cells, one after another. Requests take the delays in turn.
const cells = [
  {"strategy":"context-cancel","op":"http","ctx":"aware","timeout_ms":1000,"delays_ms":[1000]},
];
const rate = 0.5; // requests a second, whatever becomes of those before
const warmUp = 0; // requests of which nothing is kept
const requests = 5; // beside those
const longest = 6000; // ms that an answer may take; then the next cell begins

// By a condition of --fail-if that is not so.
const limits = {
};

const answered = new Trend('answered_ms', true); // from when a request was sent: k6 can't tell when it was due
const overshoot = new Trend('overshoot_ms', true); // answered - timeout, of those that were answered after it; of the floor, answered - delay
const overshot = new Counter('overshot'); // so many
const outcomes = {
  completed: new Counter('completed'),
  timed_out: new Counter('timed_out'),
  failed: new Counter('failed'),
  refused: new Counter('refused'),
};
const outcomeOf = { 200: 'completed', 503: 'refused', 504: 'timed_out' };
const figures = ['answered_ms', 'overshoot_ms', 'overshot', ...Object.keys(outcomes)];

const of = (metric, cell) => `${metric}{strategy:${cell.strategy},op:${cell.op},ctx:${cell.ctx}}`;
const load = Math.ceil((1000 * (warmUp + requests)) / rate); // ms of a cell

http.setResponseCallback(http.expectedStatuses(200, 504)); // a timeout is what was asked for

export const options = {
  discardResponseBodies: true,
  summaryTrendStats: ['count', 'p(50)', 'p(99)', 'max'],
  scenarios: Object.fromEntries(cells.map((cell, i) => [
    `${i + 1}-${cell.strategy}-${cell.op}-${cell.ctx}`,
    {
      executor: 'constant-arrival-rate',
      ...(Number.isInteger(rate) ? { rate } : { rate: 1, timeUnit: `${1000 / rate}ms` }),
      duration: `${load}ms`,
      startTime: `${i * (load + longest)}ms`,
      gracefulStop: `${longest}ms`,
      preAllocatedVUs: 3, // k6 drops a request for which no VU is ready
      maxVUs: 3,
      env: { CELL: `${i}` },
      tags: { strategy: cell.strategy, op: cell.op, ctx: cell.ctx },
    },
  ])),
  thresholds: {
    dropped_iterations: ['count==0'], // or it was another load
    // k6 tells the cells apart only where there is a threshold, be it none.
    ...Object.fromEntries(cells.flatMap((cell) => figures.map((metric) => [of(metric, cell), []]))),
    ...limits,
  },
};

export function setup() {
  const token = __ENV.GOTIMEOUT_TOKEN;
  const answer = http.put(`${lab}/network`, "delay=100ms loss=1%", {
    headers: token ? { Authorization: `Bearer ${token}` } : {},
    responseType: 'text',
  });
  if (answer.status !== 200) {
    exec.test.abort(`the lab's network can't be changed: ${answer.error || answer.json('error.message')}`);
  }
}

export default function () {
  const n = exec.scenario.iterationInTest;
  if (n >= warmUp + requests) {
    return; // k6 begins one more now and then
  }
  const cell = cells[__ENV.CELL];
  const floor = cell.strategy === "floor";
  const delay = cell.delays_ms[n % cell.delays_ms.length];
  const strategy = floor ? 'baseline' : cell.strategy;
  const url = `${lab}/${strategy}?op=${cell.op}&ctx=${cell.ctx}&delay=${delay}ms&timeout=${cell.timeout_ms}ms`;
  const answer = http.get(url, { timeout: longest });
  if (answer.status === 400 || answer.status === 404) {
    exec.test.abort(`the lab can't do this, and ${url} says why`);
  }
  if (n < warmUp) {
    return;
  }
  const took = answer.timings.blocked + answer.timings.duration;
  const outcome = outcomeOf[answer.status] || 'failed';
  answered.add(took);
  outcomes[outcome].add(1);
  const over = took - (floor ? delay : cell.timeout_ms);
  if (floor ? outcome === 'completed' : !cell.unbounded && outcome !== 'refused' && answer.status !== 0 && over >= 0) {
    overshoot.add(over);
    overshot.add(1);
  }
}

// A row a cell, in the words of compare. What crossed a limit k6 says beside it.
export function handleSummary({ metrics }) {
  const row = (cell) => {
    const time = (metric) => ['p(50)', 'p(99)', 'max'].map((value) => {
      const { values } = metrics[of(metric, cell)];
      return (values.count > 0 ? values[value].toFixed(1) : '-').padStart(8);
    });
    const count = (metric) => `${metrics[of(metric, cell)].values.count}`.padStart(10);
    return [
      cell.strategy.padEnd(18), cell.op.padEnd(6), cell.ctx.padEnd(6),
      ...time('answered_ms'), ...time('overshoot_ms'), ...Object.keys(outcomes).map(count), '\n',
    ].join('');
  };
  return {
    stdout: `
                                      answered ms             overshoot ms
strategy          op    ctx        p50     p99     max     p50     p99     max completed timed out    failed   refused
${cells.map(row).join('')}`,
  };
}
