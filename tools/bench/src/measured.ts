/** One subject's result: what was compared, what each repeat gave, and what is claimed of it. */
export interface Measured {
  /** The question that the numbers answer, one sentence. */
  readonly question: string;
  readonly columns: readonly Column[];
  /** Contestants; ours first. */
  readonly rows: readonly Row[];
  /** Ratios and limits that must hold. */
  readonly claims: readonly Claim[];
  /** What a reader must know to read the numbers: sizes, settings, what could not be run. */
  readonly notes: readonly string[];
}

export interface Column {
  /** Key of `Row.figures`; ends with its unit, such as `cpu_us`. */
  readonly name: string;
  readonly heading: string;
  readonly digits: number;
}

export interface Row {
  readonly name: string;
  /** For each column, one figure for each repeat that was kept. */
  readonly figures: Readonly<Record<string, readonly number[]>>;
}

export interface Claim {
  readonly what: string;
  readonly measured: number;
  readonly wanted: 'at most' | 'at least';
  readonly limit: number;
}

export interface SubjectOptions {
  /** Small counts and one repeat: shows that the bench runs, and measures nothing worth keeping. */
  readonly quick: boolean;
  /** Told what is going on. */
  readonly say: (text: string) => void;
  /** `--name value` pairs of the command line that the subject reads itself. */
  readonly flags: Readonly<Record<string, string>>;
}

export type Subject = (options: SubjectOptions) => Promise<Measured>;

export const holds = ({ measured, wanted, limit }: Claim): boolean =>
  wanted === 'at most' ? measured <= limit : measured >= limit;

export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

export function spreadOf(figures: readonly number[]): Spread {
  const sorted = figures.toSorted((left, right) => left - right);
  const middle = sorted.length >> 1;
  const median =
    sorted.length % 2 === 1 ? sorted[middle]! : ((sorted[middle - 1] ?? NaN) + (sorted[middle] ?? NaN)) / 2;
  return { median, least: sorted[0] ?? NaN, most: sorted.at(-1) ?? NaN };
}

/** The p-th quantile, 0 to 1, by the nearest rank. */
export function quantileOf(figures: readonly number[], p: number): number {
  const sorted = Float64Array.from(figures).sort();
  return sorted[Math.max(0, Math.ceil(sorted.length * p) - 1)] ?? NaN;
}
