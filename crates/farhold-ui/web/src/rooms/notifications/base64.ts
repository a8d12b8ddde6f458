// Text as base64 of its UTF-8 bytes, as the API carries parts of webhooks.

/** Returns the base64 of a text. */
export function toBase64(text: string): string {
  return btoa(Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join(""));
}

/** Returns the text of a base64, or an empty one if it is none. */
export function fromBase64(base64: string): string {
  try {
    return new TextDecoder().decode(Uint8Array.from(atob(base64), (sign) => sign.charCodeAt(0)));
  } catch {
    return "";
  }
}
