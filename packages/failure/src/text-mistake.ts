import { Failure } from './failure.ts';

export interface TextMistakeFacts {
  readonly code: string;
  /** The place and what is wrong there, as one sentence. */
  readonly message: string;
  /** Characters of the text before it, from 0. */
  readonly at: number;
  readonly length: number;
  /** What to write instead. */
  readonly instead: string;
}

/** A text of a person that cannot be read: where, and what to write instead. The person may be told all of it. */
export class TextMistake extends Failure {
  readonly at: number;
  readonly length: number;
  readonly instead: string;

  constructor({ code, message, at, length, instead }: TextMistakeFacts) {
    super({ code, retry: 'no', message, publicMessage: `${message} ${instead}`, mend: instead });
    this.at = at;
    this.length = length;
    this.instead = instead;
  }
}
