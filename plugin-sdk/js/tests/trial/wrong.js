export function wrong() {
  return undefined.missing;
}
