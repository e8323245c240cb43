/**
 * Node hands a new HTTP/2 session what its socket has buffered, in the next tick and piece by piece, without asking
 * whether the session still lives: one that was destroyed meanwhile, by us or by the first piece, ends the whole process
 * with a TypeError. So whoever opens a session on a socket that may hold bytes makes them one piece first, destroys no
 * session in the turn in which it was opened, and takes the bytes away where one was born destroyed.
 */
import type { Readable } from 'node:stream';

/** What the socket holds becomes one piece. To be called right before a session is opened on it. */
export function joinBuffered(socket: Readable): void {
  const pieces = takeBuffered(socket);
  if (pieces.length > 0) socket.unshift(Buffer.concat(pieces));
}

/** What the socket holds is gone. To be called right after a session that was born destroyed. */
export function dropBuffered(socket: Readable): void {
  takeBuffered(socket);
}

function takeBuffered(socket: Readable): readonly Buffer[] {
  const pieces: Buffer[] = [];
  while (socket.readableLength > 0) {
    const piece = socket.read() as Buffer | null;
    if (piece === null) break;
    pieces.push(piece);
  }
  return pieces;
}
