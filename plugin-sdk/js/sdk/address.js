/** The domain of a mail address in small letters; empty if it has none. */
export function domainOf(address) {
  const at = address.lastIndexOf('@');
  return at < 0 ? '' : address.slice(at + 1).toLowerCase();
}

/** What is before the last @. */
export function localPartOf(address) {
  const at = address.lastIndexOf('@');
  return at < 0 ? address : address.slice(0, at);
}

/** 4 or 6; undefined for what is no IP address. */
export function ipVersion(text) {
  const octets = octetsOf(text);
  return octets && (octets.length === 4 ? 4 : 6);
}

/** An IP address turned round for DNS lists: `2.0.0.127`, or 32 nibbles. Undefined for others. */
export function reversed(text) {
  const octets = octetsOf(text);
  if (!octets) return undefined;
  if (octets.length === 4) return octets.reverse().join('.');
  const nibbles = octets.flatMap((octet) => [octet >> 4, octet & 15]);
  return nibbles.reverse().map((nibble) => nibble.toString(16)).join('.');
}

/** Whether an IP address is in a network such as `10.0.0.0/8`, or is this very address. */
export function isWithin(text, network) {
  const [base, length] = network.split('/');
  const [octets, wanted] = [octetsOf(text), octetsOf(base)];
  const bits = length === undefined ? wanted?.length * 8 : Number(length);
  if (!wanted || !Number.isInteger(bits) || bits < 0 || bits > wanted.length * 8) {
    throw new RangeError(`'${network}' is no network such as 192.0.2.0/24`);
  }
  if (octets?.length !== wanted.length) return false;
  return wanted.every((octet, index) => {
    const left = Math.min(8, Math.max(0, bits - index * 8));
    return octet >> (8 - left) === octets[index] >> (8 - left);
  });
}

function octetsOf(text) {
  const quad = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (quad) {
    const octets = quad.slice(1).map(Number);
    return octets.every((octet) => octet < 256) ? octets : undefined;
  }
  if (!text.includes(':')) return undefined;
  const groups = groupsOf(text);
  return groups?.flatMap((group) => [group >> 8, group & 255]);
}

function groupsOf(text) {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map((half) => (half === '' ? [] : half.split(':').flatMap(groupOf)));
  const missing = 8 - head.length - (tail?.length ?? 0);
  if (tail ? missing < 1 : missing !== 0) return undefined;
  const groups = tail ? [...head, ...Array(missing).fill(0), ...tail] : head;
  return groups.every((group) => group >= 0 && group < 65536) ? groups : undefined;
}

// The last group may be an IPv4 address, which stands for two.
function groupOf(text) {
  const quad = text.includes('.') ? octetsOf(text) : undefined;
  if (quad) return [quad[0] * 256 + quad[1], quad[2] * 256 + quad[3]];
  return [/^[0-9a-fA-F]{1,4}$/.test(text) ? Number.parseInt(text, 16) : -1];
}
