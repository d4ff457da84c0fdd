import { ask, bytes, gatewayError, host, want } from './host.js';

want('http');

const empty = new Uint8Array();

/** What a server answered. */
export class Response {
  constructor({ status, headers, body }) {
    this.status = status;
    this.headers = headers.map(([name, value]) => [name, new TextDecoder().decode(value)]);
    this.body = body;
  }

  get ok() { return this.status >= 200 && this.status < 300; }

  header(name) {
    const wanted = name.toLowerCase();
    return this.headers.find(([name]) => name.toLowerCase() === wanted)?.[1];
  }

  text() {
    return new TextDecoder().decode(this.body);
  }

  json() {
    return JSON.parse(this.text());
  }
}

function request({ method = 'GET', url, headers = {}, body, timeoutMs }) {
  const all = Object.entries(headers).map(([name, value]) => [name, bytes(String(value))]);
  return { method, url, headers: all, body: body === undefined ? empty : bytes(body), timeoutMs };
}

/** One request. */
export function send(what) {
  const answer = sendAll([what])[0];
  if (answer instanceof Error) throw answer;
  return answer;
}

/** All at once; the answers are in the order of the requests, a failure is an error among them. */
export function sendAll(requests) {
  const answers = host('http').send(requests.map(request));
  return answers.map(({ tag, val }) =>
    tag === 'ok' ? new Response(val) : gatewayError('http.send', val));
}

/** One request whose body is what a reader has left. */
export function sendContent(what, reader) {
  const send = () => host('http').sendContent(request(what), reader.raw);
  return new Response(ask('http.sendContent', send));
}
