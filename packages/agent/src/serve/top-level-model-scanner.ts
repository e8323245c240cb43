/** Follows one JSON object byte by byte and knows when it is inside the string that is the value of its `model`. */
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const COMMA = 0x2c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
/** `model` with each letter written as \uXXXX. */
const MAX_KEY_BYTES = 30;

export class TopLevelModelScanner {
  /** From the opening quote of the value until its closing quote has been taken. */
  dropping = false;
  #depth = 0;
  #inObject = false;
  #inString = false;
  #escaped = false;
  #expectsKey = false;
  #readsKey = false;
  #key = '';
  /** The key before this value was `model`. */
  #isModel = false;

  reset(): void {
    this.dropping = false;
    this.#depth = 0;
    this.#inObject = false;
    this.#inString = false;
    this.#escaped = false;
    this.#expectsKey = false;
    this.#readsKey = false;
    this.#isModel = false;
  }

  take(byte: number): void {
    if (this.#inString) this.#takeInString(byte);
    else this.#takeOutside(byte);
  }

  #takeInString(byte: number): void {
    if (this.#escaped) {
      this.#escaped = false;
    } else if (byte === BACKSLASH) {
      this.#escaped = true;
    } else if (byte === QUOTE) {
      this.#inString = false;
      this.dropping = false;
      if (this.#readsKey) {
        this.#readsKey = false;
        this.#isModel = isModelKey(this.#key);
      }
      return;
    }
    if (this.#readsKey && this.#key.length <= MAX_KEY_BYTES) this.#key += String.fromCharCode(byte);
  }

  #takeOutside(byte: number): void {
    switch (byte) {
      case QUOTE:
        this.#inString = true;
        if (this.#depth !== 1 || !this.#inObject) return;
        if (this.#expectsKey) {
          this.#readsKey = true;
          this.#key = '';
        } else if (this.#isModel) {
          this.#isModel = false;
          this.dropping = true;
        }
        return;
      case OPEN_BRACE:
      case OPEN_BRACKET:
        if (this.#depth === 0) {
          this.#inObject = byte === OPEN_BRACE;
          this.#expectsKey = this.#inObject;
        }
        this.#depth++;
        this.#isModel = false;
        return;
      case CLOSE_BRACE:
      case CLOSE_BRACKET:
        if (this.#depth > 0) this.#depth--;
        return;
      case COMMA:
        if (this.#depth === 1) {
          this.#expectsKey = this.#inObject;
          this.#isModel = false;
        }
        return;
      case COLON:
        if (this.#depth === 1) this.#expectsKey = false;
        return;
      default:
    }
  }
}

function isModelKey(raw: string): boolean {
  if (!raw.includes('\\')) return raw === 'model';
  try {
    return JSON.parse(`"${raw}"`) === 'model';
  } catch {
    return false;
  }
}
