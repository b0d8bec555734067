/**
 * What is about to be loaded, as metadata of the committed offset: `v1|<first>|<last>|<records>|<crc32>|<owner>`. It says
 * to whoever reads the group's offsets how far an insert may have come that nobody reported.
 */
export interface Intent {
  readonly first: number;
  /** Inclusive. */
  readonly last: number;
  readonly records: number;
  /** CRC-32 of the leaf hashes of the rows, in order. */
  readonly crc: number;
  readonly owner: string;
}

export function formatIntent({ first, last, records, crc, owner }: Intent): string {
  return `v1|${first}|${last}|${records}|${crc.toString(16).padStart(8, '0')}|${owner}`;
}

/** The intent, or undefined when the metadata is somebody else's or none. */
export function parseIntent(metadata: string): Intent | undefined {
  const parts = /^v1\|(\d{1,16})\|(\d{1,16})\|(\d{1,9})\|([0-9a-f]{8})\|([\w.-]{1,80})$/.exec(metadata);
  if (!parts) return undefined;
  const [, first, last, records, crc, owner] = parts;
  return {
    first: Number(first),
    last: Number(last),
    records: Number(records),
    crc: Number.parseInt(crc ?? '', 16),
    owner: owner ?? '',
  };
}
