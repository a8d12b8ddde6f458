// All words of the interface stand in one catalogue, by room. Another language is another object of the same type.

import { en } from "./en";

export type Texts = typeof en;
export const texts: Texts = en;
