import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

const REQUEST = 'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n';
const END = '\r\n\r\nok';

/** Sends requests one after the other on each of some connections that stay open. */
export class HttpLoad {
  private constructor(private readonly sockets: readonly Socket[]) {}

  static async open(port: number, connections: number): Promise<HttpLoad> {
    const sockets = Array.from({ length: connections }, () =>
      connect({ port, host: '127.0.0.1', noDelay: true }),
    );
    await Promise.all(sockets.map((socket) => once(socket.setEncoding('latin1'), 'connect')));
    return new HttpLoad(sockets);
  }

  /** Resolves when `count` requests have been answered with 200 and "ok"; anything else is an error. */
  async send(count: number): Promise<void> {
    let left = count;
    const isDue = (): boolean => left-- > 0;
    await Promise.all(this.sockets.map((socket) => lane(socket, isDue)));
  }

  close(): void {
    for (const socket of this.sockets) socket.destroy();
  }
}

function lane(socket: Socket, isDue: () => boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    let text = '';
    const finish = (error?: Error): void => {
      socket.off('data', onData).off('close', onClose);
      if (error) reject(error);
      else resolve();
    };
    const next = (): void => {
      if (isDue()) socket.write(REQUEST);
      else finish();
    };
    const onData = (data: string): void => {
      text += data;
      if (!text.endsWith(END)) return;
      const isOk = text.startsWith('HTTP/1.1 200');
      text = '';
      if (isOk) next();
      else finish(new Error('a request was not answered with 200'));
    };
    const onClose = (): void => finish(new Error('a connection was closed by the server'));
    socket.on('data', onData).once('close', onClose);
    next();
  });
}
