/**
 * Cuts bytes into lines at line feeds and nowhere else. (Node's readline also cuts at U+2028, which JSON texts may hold.)
 */
export class LineCutter {
  private rest: Uint8Array[] = [];
  private restBytes = 0;
  private readonly bytesMax: number;

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  /** Whole lines that this chunk completes, without their ends; empty ones are left out. @throws RangeError */
  push(chunk: Uint8Array): string[] {
    const lines: string[] = [];
    let from = 0;
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, from)) {
      const line = Buffer.concat([...this.rest, chunk.subarray(from, at)])
        .toString('utf8')
        .trim();
      this.rest = [];
      this.restBytes = 0;
      from = at + 1;
      if (line !== '') lines.push(line);
    }
    if (from < chunk.length) {
      this.rest.push(chunk.subarray(from));
      this.restBytes += chunk.length - from;
      if (this.restBytes > this.bytesMax) throw new RangeError('a line is longer than allowed');
    }
    return lines;
  }
}
