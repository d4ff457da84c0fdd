// The live page: asks the gateway, and hands what it says to the panels.

import { Chart } from "./page/chart.js";
import { pollConfiguration, prepareConfiguration } from "./page/configuration.js";
import { at, write } from "./page/dom.js";
import { listen } from "./page/events.js";
import { Locked, askJson, askText, remember } from "./page/gateway.js";
import { History, OUTCOMES } from "./page/history.js";
import { Scrape } from "./page/metrics.js";
import * as numbers from "./page/numbers.js";
import { plugins, upstreams } from "./page/parts.js";
import { instant } from "./page/record.js";
import { refusals } from "./page/refusals.js";
import { sessions } from "./page/sessions.js";
import * as state from "./page/state.js";
import { prepareStory, wanted } from "./page/story.js";
import * as transactions from "./page/transactions.js";
import { offerListeners, prepareTrial } from "./page/trial.js";

const OFTEN = 2000;
const SOMETIMES = 5000;
const SELDOM = 30_000;

const history = new History();
let status = null;
let live = false;
let chart;

async function numbersCome() {
  history.add(new Scrape(await askText("/metrics"), Date.now()));
  if (!status) return;
  chart.show(history.outcomes());
  numbers.figures(history, status);
  numbers.connections(history, status);
  numbers.latency(history);
  numbers.saturation(history, status);
  numbers.certificates(status);
  numbers.spool(history, status);
  plugins(history);
  upstreams(history, status);
  refusals(transactions.all(), history);
}

async function statusComes() {
  status = await askJson("/api/status");
  state.show(status);
  offerListeners(status.listeners.map(({ name }) => name));
}

async function sessionsCome() {
  sessions(await askJson("/api/sessions"));
}

/** With events this fills the gaps, without them it is all there is. */
async function transactionsCome() {
  const some = await transactions.poll();
  history.recall(some.map((record) => ({ time: instant(record), outcome: record.outcome })));
}

/** Asks over and over; what fails is asked again, and told. */
async function repeat(ask, pause) {
  for (;;) {
    try {
      await ask();
      heard();
    } catch (error) {
      failed(error);
    }
    await new Promise((resolve) => setTimeout(resolve, pause()));
  }
}

let misses = 0;

function heard() {
  misses = 0;
  at("login").hidden = true;
  state.answered();
}

function failed(error) {
  if (error instanceof Locked) {
    at("login").hidden = false;
    if (error.message) write(at("token-note"), error.message);
    return;
  }
  misses += 1;
  // One miss may be a busy machine.
  if (misses >= 2) state.silence(error, history.last?.time);
}

function login() {
  at("login").addEventListener("submit", (event) => {
    event.preventDefault();
    remember(at("token").value);
    location.reload();
  });
}

function hear(name, data) {
  if (name === "transaction") transactions.take([data]);
}

async function begin() {
  transactions.prepare();
  prepareStory();
  prepareTrial();
  prepareConfiguration();
  login();
  chart = new Chart(at("outcomes"), OUTCOMES, "Outcomes a second in the last 15 minutes, stacked. The numbers are in the table below.");
  addEventListener("hashchange", openWanted);
  repeat(statusComes, () => SOMETIMES);
  await numbersCome().then(heard, failed);
  repeat(transactionsCome, () => (live ? SELDOM : OFTEN));
  repeat(numbersCome, () => OFTEN);
  repeat(sessionsCome, () => OFTEN);
  repeat(pollConfiguration, () => SELDOM);
  listen("/api/events?events=transaction", hear, (now) => {
    live = now;
    state.link(now);
  });
  openWanted();
}

function openWanted() {
  const id = wanted();
  if (id) transactions.story(id).catch(() => write(at("transactions-note"), "that transaction is not remembered any more"));
}

begin();
