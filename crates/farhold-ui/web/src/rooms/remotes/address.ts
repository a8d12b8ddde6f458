// Addresses and fingerprints as people paste them.

export interface Address {
  host: string;
  port?: number;
}

const WITH_PORT = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/;

/** Returns host and port of `host`, `host:port`, `[v6]:port` or the address of a web interface. */
export function addressOf(text: string): Address {
  const plain = text
    .trim()
    .replace(/^https?:\/\//i, "")
    .replace(/[/#?].*$/, "");
  const [, bracketed, name, port] = WITH_PORT.exec(plain) ?? [];
  const host = bracketed ?? name ?? plain;
  return port === undefined ? { host } : { host, port: Number(port) };
}

const DIGITS = 64;

/** Returns the fingerprint as pairs with colons, or the text as it is if it is none. */
export function fingerprintOf(text: string): string {
  const digits = text.replace(/[\s:]/g, "").toLowerCase();
  if (digits.length !== DIGITS || !/^[0-9a-f]+$/.test(digits)) return text.trim();
  return (digits.match(/../g) ?? []).join(":");
}

/** Whether it is a fingerprint, however it was written. */
export function isFingerprint(text: string): boolean {
  return /^[0-9a-f]{2}(:[0-9a-f]{2}){31}$/.test(fingerprintOf(text));
}

/** Returns the beginning of a fingerprint, for lists: the whole of it is a dialog away. */
export const shortFingerprint = (fingerprint: string): string => `${fingerprint.slice(0, 11)}…`;
