/**
 * Makes the pictures small: a screenshot has few colours, and a PNG with a palette of 256 takes a third of the space.
 * Reads just what the browser writes: eight bits a channel, with or without transparency, not interlaced.
 */
import { crc32, deflateSync, inflateSync } from "node:zlib";

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
const TRUECOLOUR = 2;
const PALETTE = 3;
const TRUECOLOUR_ALPHA = 6;
const MOST_COLOURS = 256;

interface Picture {
  width: number;
  height: number;
  /** One number a pixel, 0xRRGGBB. */
  pixels: Uint32Array;
}

/** Returns the same picture with a palette; one that has a palette comes back as it is. */
export function withPalette(png: Buffer): Buffer {
  const picture = read(png);
  return picture ? write(picture) : png;
}

function read(png: Buffer): Picture | undefined {
  if (!png.subarray(0, 8).equals(SIGNATURE)) throw new Error("not a PNG");
  const parts: Buffer[] = [];
  let [width, height, depth, kind, interlaced] = [0, 0, 0, 0, 0];
  for (let at = 8; at < png.length;) {
    const length = png.readUInt32BE(at);
    const name = png.toString("latin1", at + 4, at + 8);
    const data = png.subarray(at + 8, at + 8 + length);
    if (name === "IHDR") {
      [width, height] = [data.readUInt32BE(0), data.readUInt32BE(4)];
      [depth, kind, interlaced] = [data[8]!, data[9]!, data[12]!];
    }
    if (name === "IDAT") parts.push(data);
    at += length + 12;
  }
  if (kind === PALETTE) return undefined;
  if (depth !== 8 || interlaced !== 0 || (kind !== TRUECOLOUR && kind !== TRUECOLOUR_ALPHA)) {
    throw new Error(`a PNG of another kind: depth ${depth}, colours ${kind}`);
  }
  const channels = kind === TRUECOLOUR ? 3 : 4;
  const bytes = unfiltered(inflateSync(Buffer.concat(parts)), height, width * channels, channels);
  const pixels = new Uint32Array(width * height);
  for (let index = 0; index < pixels.length; index += 1) {
    const at = index * channels;
    pixels[index] = (bytes[at]! << 16) | (bytes[at + 1]! << 8) | bytes[at + 2]!;
  }
  return { width, height, pixels };
}

/** Takes back the filter of each line. */
function unfiltered(raw: Buffer, height: number, stride: number, channels: number): Uint8Array {
  const bytes = new Uint8Array(height * stride);
  for (let line = 0; line < height; line += 1) {
    const filter = raw[line * (stride + 1)];
    const start = line * stride;
    for (let column = 0; column < stride; column += 1) {
      const left = channels <= column ? bytes[start + column - channels]! : 0;
      const up = 0 < line ? bytes[start + column - stride]! : 0;
      const corner = 0 < line && channels <= column ? bytes[start + column - stride - channels]! : 0;
      const value = raw[line * (stride + 1) + 1 + column]!;
      const guess = [0, left, up, (left + up) >> 1, paeth(left, up, corner)][filter ?? 0] ?? 0;
      bytes[start + column] = value + guess;
    }
  }
  return bytes;
}

function paeth(left: number, up: number, corner: number): number {
  const guess = left + up - corner;
  const [toLeft, toUp, toCorner] = [Math.abs(guess - left), Math.abs(guess - up), Math.abs(guess - corner)];
  if (toLeft <= toUp && toLeft <= toCorner) return left;
  return toUp <= toCorner ? up : corner;
}

function write({ width, height, pixels }: Picture): Buffer {
  const counts = new Map<number, number>();
  for (const colour of pixels) counts.set(colour, (counts.get(colour) ?? 0) + 1);
  const byCount = [...counts.entries()].sort((a, b) => b[1] - a[1] || a[0] - b[0]).map(([colour]) => colour);
  // The most frequent ones stay what they are; each of the others becomes the nearest of them.
  const palette = byCount.slice(0, MOST_COLOURS);
  const indexOf = new Map(palette.map((colour, index) => [colour, index]));
  for (const colour of byCount.slice(MOST_COLOURS)) indexOf.set(colour, nearest(colour, palette));

  const raw = Buffer.alloc(height * (width + 1));
  for (let line = 0; line < height; line += 1) {
    for (let column = 0; column < width; column += 1) {
      raw[line * (width + 1) + 1 + column] = indexOf.get(pixels[line * width + column]!)!;
    }
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, PALETTE, 0, 0, 0], 8);
  const colours = Buffer.from(palette.flatMap((colour) => [colour >> 16, (colour >> 8) & 0xff, colour & 0xff]));
  const packed = deflateSync(raw, { level: 9, memLevel: 9 });
  const chunks = [chunk("IHDR", header), chunk("PLTE", colours), chunk("IDAT", packed), chunk("IEND", Buffer.alloc(0))];
  return Buffer.concat([SIGNATURE, ...chunks]);
}

function nearest(colour: number, palette: number[]): number {
  let [best, distance] = [0, Infinity];
  palette.forEach((candidate, index) => {
    const red = (candidate >> 16) - (colour >> 16);
    const green = ((candidate >> 8) & 0xff) - ((colour >> 8) & 0xff);
    const blue = (candidate & 0xff) - (colour & 0xff);
    const found = red * red + green * green + blue * blue;
    if (found < distance) [best, distance] = [index, found];
  });
  return best;
}

function chunk(name: string, data: Buffer): Buffer {
  const content = Buffer.concat([Buffer.from(name, "latin1"), data]);
  const framed = Buffer.alloc(content.length + 8);
  framed.writeUInt32BE(data.length, 0);
  content.copy(framed, 4);
  framed.writeUInt32BE(crc32(content), content.length + 4);
  return framed;
}
