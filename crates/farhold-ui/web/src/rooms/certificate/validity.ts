// What can be said about a certificate before and beside the server.

import { span } from "../../format/time";
import type { Tone } from "../../parts/state";
import { texts } from "../../texts";

/** From this many seconds before its end on, a certificate is to be renewed: 30 days, as authorities remind. */
const SOON_SECONDS = 30 * 86400;

/** Returns how a certificate stands now. */
export function validityOf(notBefore: number | undefined, notAfter: number | undefined, now: number): [Tone, string] {
  const words = texts.certificate;
  if (notBefore !== undefined && now < notBefore) return ["bad", words.notYet];
  if (notAfter === undefined) return ["good", words.valid];
  if (now >= notAfter) return ["bad", words.ended];
  if (notAfter - now < SOON_SECONDS) return ["warning", words.ends(span(notAfter - now))];
  return ["good", words.valid];
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/;
const KEY = /-----BEGIN ([A-Z]+ )?PRIVATE KEY-----/;

export interface Pems {
  certificates: string;
  key: string;
}

/** Returns what is wrong with texts before they are sent. */
export function faultsOf({ certificates, key }: Pems): Partial<Record<keyof Pems, string>> {
  const words = texts.certificate;
  const faults: Partial<Record<keyof Pems, string>> = {};
  if (KEY.test(certificates)) faults.certificates = words.keyInChain;
  else if (!CERTIFICATE.test(certificates)) faults.certificates = words.noPem;
  if (key.trim() !== "" && !KEY.test(key)) faults.key = words.noKeyPem;
  return faults;
}
