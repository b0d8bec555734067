import { Failure } from '@cairn/failure';

/** A statement that is not one of those that are run: where, and what to write instead. */
export class SqlMistake extends Failure {
  /** Characters before it, from 0. */
  readonly at: number;
  readonly length: number;
  readonly instead: string;

  constructor(at: number, length: number, what: string, instead: string) {
    const message = `character ${at + 1} of the statement: ${what}`;
    super({
      code: 'sql.refused',
      retry: 'no',
      message,
      publicMessage: `${message} ${instead}`,
      mend: instead,
    });
    this.at = at;
    this.length = length;
    this.instead = instead;
  }
}
