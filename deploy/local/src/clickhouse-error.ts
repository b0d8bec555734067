/**
 * An error in ClickHouse's own words, as the engine's errors are: the number, then the text, then the name.
 * https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp
 */
export function engineError(code: number, name: string, text: string): Error {
  return new Error(`Code: ${code}. DB::Exception: ${text}. (${name})`);
}

/** The number that ClickHouse gave an error; undefined for any other error. */
export function codeOf(error: unknown): number | undefined {
  const code = error instanceof Error ? /^Code: (\d+)\. /.exec(error.message)?.[1] : undefined;
  return code === undefined ? undefined : Number(code);
}

/** The status that a server answers an error with. Clients go by the number in the header and the text. */
export function statusOf(code: number): number {
  return STATUSES.get(code) ?? 500;
}

const STATUSES: ReadonlyMap<number, number> = new Map(
  Object.entries({
    400: [6, 8, 15, 25, 26, 27, 36, 38, 41, 44, 53, 62, 72, 117, 167, 168, 190, 321, 376, 427, 441, 675, 676],
    404: [46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 172, 246, 511],
    408: [159],
    413: [290],
    501: [48],
    503: [76, 209, 439],
  }).flatMap(([status, codes]) => codes.map((code) => [code, Number(status)] as const)),
);
