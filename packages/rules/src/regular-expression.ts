import { RE2JS } from 're2js';

/** Which of Sigma's sub-modifiers stand behind `re`. */
export interface RegexFlags {
  /** `i`: without regard to case. */
  readonly ignoreCase: boolean;
  /** `m`: `^` and `$` also at line ends. */
  readonly multiLine: boolean;
  /** `s`: `.` also matches a line end. */
  readonly dotAll: boolean;
}

/**
 * A search for a regular expression in RE2's syntax, in time linear in the text whatever the expression is. Sigma's flavour
 * (PCRE without look-around and back-references) is within it.
 *
 * @throws an Error that says what RE2 does not take.
 */
export function searchFor(expression: string, flags: RegexFlags): (text: string) => boolean {
  const compiled = RE2JS.compile(
    expression,
    (flags.ignoreCase ? RE2JS.CASE_INSENSITIVE : 0) |
      (flags.multiLine ? RE2JS.MULTILINE : 0) |
      (flags.dotAll ? RE2JS.DOTALL : 0),
  );
  return (text) => compiled.test(text);
}
