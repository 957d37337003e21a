#!/usr/bin/env node
// A client of the control plane, with Node (18 or later) and no packages.
const usage = `
  client.mjs plan PLAN_ID                  makes a plan and publishes it
  client.mjs halt PLAN_ID REASON
  client.mjs flag KEY VALUE [VERSION]      sets a flag, only if it still has this version
  client.mjs wait KEY [TIMES]              prints a flag's value now and whenever it changes
  client.mjs follow [AFTER] [COUNT]        prints audit records as they are committed, those after record AFTER

The nodes: AUTONOMY_ORCHESTRATOR_URL, then AUTONOMY_ORCHESTRATOR_FALLBACK_URLS (commas between). You: AUTONOMY_OPERATOR.
Exit: 0 done, 1 refused, 2 usage, 5 the outcome is unknown.`;
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

const env = process.env;
const urls = `${env.AUTONOMY_ORCHESTRATOR_URL ?? "http://127.0.0.1:7101"},${env.AUTONOMY_ORCHESTRATOR_FALLBACK_URLS ?? ""}`;
const nodes = urls.split(",").map((u) => u.trim().replace(/\/$/, "")).filter(Boolean); // the one that answered last stands first
const operator = env.AUTONOMY_OPERATOR ?? "client.mjs";
const patienceMs = 30_000;

class Refused extends Error {} // final: repeating the request can't help
class Unknown extends Error {} // it may have happened or not; repeating it under the same key is safe

function nextNode() {
  nodes.push(nodes.shift());
  return sleep(200);
}

// The answer of whichever node gives one. No answer, 503 and 507 (nothing happened) and 504 (it may have happened) go on to the next
// node. All attempts at a change carry the same Idempotency-Key: it happens once, and whoever asks again gets the first answer.
async function ask(method, path, body, key = randomUUID(), timeoutMs = 10_000) {
  const headers = { "X-Autonomy-Operator": operator };
  if (method !== "GET") headers["Idempotency-Key"] = key;
  if (body) headers["Content-Type"] = "application/json";
  for (const end = Date.now() + patienceMs; ; await nextNode()) {
    let why;
    try {
      const signal = AbortSignal.timeout(timeoutMs);
      const answer = await fetch(nodes[0] + path, { method, headers, signal, body: body && JSON.stringify(body) });
      const json = answer.headers.get("Content-Type")?.includes("json") ? await answer.json() : { title: answer.statusText };
      if (answer.ok) return json;
      if (![503, 504, 507].includes(answer.status)) throw new Refused(`${json.code}: ${json.detail ?? json.title}`);
      why = json.detail;
    } catch (error) {
      if (error instanceof Refused) throw error;
      why = `${nodes[0]}: ${error.cause?.message ?? error.message}`;
    }
    const again = method === "GET" ? "" : `repeat it with Idempotency-Key ${key}; `;
    if (Date.now() > end) throw new Unknown(`no answer within ${patienceMs} ms; ${again}last: ${why}`);
  }
}

async function plan(planId) {
  const made = await ask("POST", "/v1/rollouts?publish=true", {
    plan_id: planId,
    artifact: { name: "checkout", version: "2.4.1", previous_version: "2.4.0" },
    stages: [
      { stage_id: "canary", target: { percent: 5 }, gates: [{ kind: "manual" }] },
      { stage_id: "all", target: { percent: 100 } },
    ],
    reason: "release 2.4.1",
  });
  console.log(made.plan_id, made.phase);
}

async function halt(planId, reason) {
  const done = await ask("POST", `/v1/rollouts/${planId}/halt`, { reason });
  console.log(done.plan_id, done.stage_id, done.stage_phase);
}

async function flag(key, value, version) {
  const body = { value, reason: "set by client.mjs" };
  if (version !== undefined) body.expected_version = Number(version);
  const now = await ask("PUT", `/v1/flags/${key}`, body);
  console.log(now.key, JSON.stringify(now.value), now.version);
}

// Long poll: an answer comes when anything newer than `index` is applied, or after 30 s.
async function wait(key, times = 0) {
  let seen, index = 0, left = Number(times);
  for (;;) {
    const now = await ask("GET", `/v1/flags/${key}${index ? `?index=${index}&wait=30s` : ""}`, undefined, undefined, 40_000);
    const mark = JSON.stringify([now.version, now.value]);
    if (mark !== seen) {
      console.log(now.key, JSON.stringify(now.value), now.version);
      if (--left === 0) return;
    }
    [seen, index] = [mark, now.index];
  }
}

// Every audit record after the one with that seq, once and in order, whichever nodes come and go.
async function* events(after) {
  for (; ; await nextNode()) {
    const silence = new AbortController(); // a comment comes every 15 s
    let timer = setTimeout(() => silence.abort(), 40_000);
    try {
      const headers = after === undefined ? {} : { "Last-Event-ID": String(after) };
      const stream = await fetch(`${nodes[0]}/v1/events`, { headers, signal: silence.signal });
      if (!stream.ok) continue;
      const decoder = new TextDecoder();
      let text = "";
      for await (const chunk of stream.body) {
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), 40_000);
        text += decoder.decode(chunk, { stream: true });
        for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
          const event = Object.fromEntries(text.slice(0, end).split("\n").map((line) => [line.split(": ")[0], line.slice(line.indexOf(": ") + 2)]));
          if (event.data && event.event.includes(".")) yield JSON.parse(event.data);
          else if (event.data) console.error(`${event.event}: ${event.data}`); // overflow, end, pruned
          after = event.id ?? after; // one without data only tells where the stream is
        }
      }
    } catch {
      // the node is gone, or silent: the next one goes on after the same record
    } finally {
      clearTimeout(timer);
      silence.abort();
    }
  }
}

async function follow(after, count = 0) {
  let left = Number(count);
  for await (const record of events(after)) {
    console.log(record.seq, record.event_name, record.actor, record.resource ?? "-");
    if (--left === 0) return;
  }
}

const [name, ...rest] = process.argv.slice(2);
const command = { plan, halt, flag, wait, follow }[name];
if (!command || rest.length < command.length - (name === "flag" || name === "follow" ? 1 : 0)) {
  console.error(usage);
  process.exit(2);
}
try {
  await command(...rest);
} catch (error) {
  if (!(error instanceof Refused) && !(error instanceof Unknown)) throw error;
  console.error(error.message);
  process.exitCode = error instanceof Unknown ? 5 : 1;
}
