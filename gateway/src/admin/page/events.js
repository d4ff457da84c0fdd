// Listens to /api/events, over and over. It reads the stream itself: an EventSource cannot show a token.

import { ask } from "./gateway.js";

const SHORTEST = 1000;
const LONGEST = 15000;

/** Hears events until the page goes; `tell(name, data)` gets each, `live(bool)` whether they come. */
export async function listen(path, tell, live) {
  for (let pause = SHORTEST; ; pause = Math.min(pause * 2, LONGEST)) {
    try {
      const response = await ask(path, { accept: "text/event-stream", signal: new AbortController().signal });
      live(true);
      pause = SHORTEST;
      await read(response.body, tell);
    } catch {
      // Polling goes on meanwhile, and says what is wrong.
    }
    live(false);
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

async function read(stream, tell) {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const pieces = (rest + text).split(/\r?\n\r?\n/);
    rest = pieces.pop();
    for (const piece of pieces) hear(piece, tell);
  }
}

function hear(piece, tell) {
  let name = "message";
  const data = [];
  for (const line of piece.split(/\r?\n/)) {
    const [, field, value] = /^([a-z]+): ?(.*)$/.exec(line) ?? [];
    if (field === "event") name = value;
    if (field === "data") data.push(value);
  }
  if (data.length) tell(name, JSON.parse(data.join("\n")));
}
