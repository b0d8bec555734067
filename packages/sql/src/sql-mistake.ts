import { TextMistake } from '@cairn/failure';

/** A statement that is not one of those that are run. */
export class SqlMistake extends TextMistake {
  constructor(at: number, length: number, what: string, instead: string) {
    super({
      code: 'sql.refused',
      message: `character ${at + 1} of the statement: ${what}`,
      at,
      length,
      instead,
    });
  }
}
