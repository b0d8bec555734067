/** A value as it was written. Of a pattern `*` stands for any text and `?` for one character. */
export type Value =
  | { readonly kind: 'exact'; readonly text: string }
  /** Pieces between the wildcards are literal: `['delete_', '*']`; a piece that is `*` or `?` stands in `wild` places. */
  | { readonly kind: 'pattern'; readonly pieces: readonly PatternPiece[] };

export type PatternPiece = { readonly literal: string } | { readonly wild: '*' | '?' };

export type Comparison = '>' | '>=' | '<' | '<=';

/** What a field is held to. */
export type Condition =
  | { readonly kind: 'is'; readonly value: Value }
  | { readonly kind: 'compare'; readonly operator: Comparison; readonly value: string }
  | {
      readonly kind: 'range';
      readonly from: string;
      readonly to: string;
      readonly fromIncluded: boolean;
      readonly toIncluded: boolean;
    };

/** What is asked of an event. `all` holds for each. */
export type SearchQuery =
  | { readonly kind: 'all' }
  | { readonly kind: 'and' | 'or'; readonly of: readonly SearchQuery[] }
  | { readonly kind: 'not'; readonly of: SearchQuery }
  /** Somewhere in the texts of the event, without regard to case. */
  | { readonly kind: 'text'; readonly value: Value }
  /** `field` is a name of `FIELDS`, never an alias. */
  | { readonly kind: 'field'; readonly field: string; readonly condition: Condition };
