import { type Document, LineCounter, parseAllDocuments, visit } from 'yaml';
import { didYouMean, RuleError, type RuleMistake } from './mistake.ts';
import { type Entry, entriesOf, entry, itemsOf, type Node, scalarOf, startOf, textOf } from './node.ts';
import { readCorrelation } from './read-correlation.ts';
import { readDetection } from './read-detection.ts';
import type { Correlation, Detection, FieldName, Level, Rule, RuleHead, RuleSet } from './rule.ts';

/** A file of rules: one YAML document for each rule. */
export interface RuleFile {
  /** As mistakes and alerts name it. */
  readonly file: string;
  readonly text: string;
}

export interface RuleOptions {
  /** Values of the placeholders of `expand`, by name. Default: none. */
  readonly placeholders?: ReadonlyMap<string, readonly string[]>;
  /** Count every event at its own time; for comparisons and replays. Default: counts that need many events round it. */
  readonly exact?: boolean;
}

/** The rules that can run, and what is wrong with the others. */
export interface RuleReading {
  readonly rules: RuleSet;
  /** In the order of files and lines. A rule with a mistake does not run; all others do. */
  readonly mistakes: readonly RuleMistake[];
}

const LEVELS: readonly Level[] = ['informational', 'low', 'medium', 'high', 'critical'];
const FILE_CHARS_MAX = 1_048_576;
/** Read for every event, whatever the rules say. */
const ALWAYS_READ: readonly FieldName[] = ['event_id', 'org_id', 'timestamp'];
const DETECTION_KEYS = [
  ...['title', 'id', 'related', 'name', 'taxonomy', 'status', 'description', 'license', 'author'],
  ...['references', 'date', 'modified', 'logsource', 'detection', 'fields', 'falsepositives', 'level'],
  ...['tags', 'scope', 'business_hours', 'correlation', 'generate'],
];

/** A rule as it stands in its file. */
interface Draft {
  readonly source: RuleFile;
  readonly lines: LineCounter;
  readonly offset: number;
  readonly entries: readonly Entry[];
  readonly head: RuleHead;
}

/**
 * Reads and compiles rules: Sigma detections, correlations and the documented extensions. Files may refer to each other's
 * rules by `id` or `name`, in any order.
 */
export function readRules(files: readonly RuleFile[], options: RuleOptions = {}): RuleReading {
  const mistakes: RuleMistake[] = [];
  const drafts = files.flatMap((file) => draftsOf(file, mistakes));
  const byName = new Map<string, Draft>();
  const distinct = drafts.filter((draft) => {
    const names = [draft.head.id, ...(draft.head.name === undefined ? [] : [draft.head.name])];
    const taken = names.find((name) => byName.has(name));
    if (taken === undefined) {
      for (const name of names) byName.set(name, draft);
      return true;
    }
    const other = byName.get(taken)?.head;
    mistakes.push(
      mistakeAt(
        draft,
        draft.offset,
        `${taken} is also the rule at ${other?.file}:${other?.line}; give it an id of its own`,
      ),
    );
    return false;
  });

  const compiled = new Map<Draft, Rule | 'mistaken' | 'begun'>();
  const fieldsRead = new Set<FieldName>(ALWAYS_READ);
  const generating = new Set<string>();
  const fed = new Set<string>();
  const known = [...byName.keys()];
  const compile = (draft: Draft): Rule | 'mistaken' => {
    const done = compiled.get(draft);
    if (done === 'begun')
      throw new RuleError(draft.offset, `${draft.head.title} counts itself, through other rules`);
    if (done !== undefined) return done;
    compiled.set(draft, 'begun');
    let rule: Rule | 'mistaken' = 'mistaken';
    try {
      rule = read(draft);
    } catch (error) {
      if (!(error instanceof RuleError)) throw error;
      mistakes.push(mistakeAt(draft, error.offset, error.message));
    }
    compiled.set(draft, rule);
    return rule;
  };
  const read = ({ head, entries, offset }: Draft): Rule => {
    const correlation = entry(entries, 'correlation');
    if (correlation === undefined) {
      const detection = readDetection(head, entries, offset, options.placeholders ?? new Map());
      for (const column of detection.fieldsRead) fieldsRead.add(column);
      return { ...detection, alerts: true };
    }
    const find = (reference: string): Rule | 'mistaken' | undefined => {
      const draft = byName.get(reference);
      return draft && compile(draft);
    };
    const reading = readCorrelation(head, correlation, find, known, options.exact === true);
    for (const column of reading.correlation.fieldsRead) fieldsRead.add(column);
    const generate = entry(entries, 'generate');
    const alsoAlone =
      reading.generate ||
      (generate !== undefined && scalarOf(generate.value, 'generate', generate.offset) === true);
    for (const { rule } of reading.correlation.sources) {
      fed.add(rule);
      if (alsoAlone) generating.add(rule);
    }
    return { ...reading.correlation, alerts: true };
  };
  const rules = distinct.map(compile).filter((rule) => rule !== 'mistaken');

  const withAlerts = rules.map((rule) => ({ ...rule, alerts: !fed.has(rule.id) || generating.has(rule.id) }));
  const detections = withAlerts.filter((rule): rule is Detection => rule.kind === 'detection');
  const correlations = withAlerts
    .filter((rule): rule is Correlation => rule.kind === 'correlation')
    .toSorted((a, b) => a.depth - b.depth);
  const places = new Map(files.map(({ file }, index) => [file, index]));
  return {
    rules: { detections, correlations, fieldsRead },
    mistakes: mistakes.toSorted(
      (a, b) =>
        (places.get(a.file) ?? 0) - (places.get(b.file) ?? 0) || a.line - b.line || a.column - b.column,
    ),
  };
}

/** The rules of a file; what is no rule becomes a mistake. */
function draftsOf(source: RuleFile, mistakes: RuleMistake[]): Draft[] {
  const lines = new LineCounter();
  const place = { source, lines };
  if (source.text.length > FILE_CHARS_MAX) {
    mistakes.push(mistakeAt(place, 0, `the file is longer than ${FILE_CHARS_MAX} characters; split it`));
    return [];
  }
  const documents = parseAllDocuments(source.text, {
    lineCounter: lines,
    logLevel: 'silent',
    prettyErrors: false,
  });
  return (documents as Document.Parsed[]).flatMap((document) => {
    const [error] = document.errors;
    if (error !== undefined) {
      mistakes.push(mistakeAt(place, error.pos[0], error.message));
      return [];
    }
    if (document.contents === null) return [];
    try {
      return [draftOf(document, place)];
    } catch (thrown) {
      if (!(thrown instanceof RuleError)) throw thrown;
      mistakes.push(mistakeAt(place, thrown.offset, thrown.message));
      return [];
    }
  });
}

function draftOf(document: Document.Parsed, place: Pick<Draft, 'source' | 'lines'>): Draft {
  visit(document, {
    Alias(_, alias) {
      throw new RuleError(startOf(alias, 0), 'aliases are not followed; write it out');
    },
  });
  const node = document.contents as Node;
  const offset = startOf(node, 0);
  const entries = entriesOf(node, 'a rule', offset);
  const text = (key: string): string | undefined => {
    const found = entry(entries, key);
    return found && textOf(found.value, key, found.offset);
  };
  checkTopKeys(entries);
  const title = text('title');
  if (title === undefined) throw new RuleError(offset, 'a rule must have a title');
  const name = text('name');
  const id = text('id') ?? name;
  if (id === undefined) throw new RuleError(offset, 'a rule must have an id (a UUID) or a name');
  const head: RuleHead = {
    id,
    name,
    title,
    description: text('description') ?? '',
    level: levelOf(entry(entries, 'level')),
    tags: tagsOf(entry(entries, 'tags')),
    file: place.source.file,
    line: Math.max(1, place.lines.linePos(offset).line),
  };
  return { ...place, offset, entries, head };
}

/** Sigma allows attributes of one's own; but one that is nearly a known one is a mistake. */
function checkTopKeys(entries: readonly Entry[]): void {
  const seen = new Set<string>();
  for (const { key, offset } of entries) {
    if (seen.has(key)) throw new RuleError(offset, `${key} stands twice`);
    seen.add(key);
    if (key === 'filter' || key === 'action')
      throw new RuleError(offset, `${key} is not understood here; write it into the rule itself`);
    const near = didYouMean(key, DETECTION_KEYS);
    if (!DETECTION_KEYS.includes(key) && near.startsWith('; did'))
      throw new RuleError(offset, `a rule has no ${key}${near}`);
  }
}

function levelOf(found: Entry | undefined): Level {
  if (found === undefined) return 'medium';
  const name = textOf(found.value, 'level', found.offset);
  const level = LEVELS.find((candidate) => candidate === name);
  if (level !== undefined) return level;
  throw new RuleError(
    startOf(found.value, found.offset),
    `there is no level ${name}${didYouMean(name, LEVELS)}`,
  );
}

function tagsOf(found: Entry | undefined): string[] {
  return found === undefined ? [] : itemsOf(found.value).map((item) => textOf(item, 'a tag', found.offset));
}

function mistakeAt(
  { source, lines }: Pick<Draft, 'source' | 'lines'>,
  offset: number,
  message: string,
): RuleMistake {
  const { line, col } = lines.linePos(offset);
  return { file: source.file, line: Math.max(1, line), column: Math.max(1, col), message };
}
