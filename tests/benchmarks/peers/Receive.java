import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.NetworkInterface;
import java.net.StandardProtocolFamily;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.DatagramChannel;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;

/**
 * Drains a UDP socket with a DatagramChannel and a Selector.
 *
 * Run by tests/benchmarks/workers/peers.py, which says what stands on standard input and output.
 */
public class Receive {
    private static final int SLOT = 2048;

    public static void main(String[] arguments) throws Exception {
        InetAddress group = InetAddress.getByName(arguments[0]);
        int port = Integer.parseInt(arguments[1]);
        int bufferSize = Integer.parseInt(arguments[2]);
        NetworkInterface networkInterface = NetworkInterface.getByName(arguments[3]);
        // Of the thread: the virtual machine has no exact clock of all its threads. So what the
        // compiler and the collector take is not counted.
        ThreadMXBean clock = ManagementFactory.getThreadMXBean();
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
        try (Selector selector = Selector.open();
                DatagramChannel channel = DatagramChannel.open(StandardProtocolFamily.INET)) {
            channel.setOption(StandardSocketOptions.SO_RCVBUF, bufferSize);
            channel.bind(new InetSocketAddress(group, port));
            channel.join(group, networkInterface);
            channel.configureBlocking(false);
            channel.register(selector, SelectionKey.OP_READ);
            ByteBuffer data = ByteBuffer.allocateDirect(SLOT);
            long touched = 0;
            System.out.println("ready");
            for (String line = commands.readLine(); line != null; line = commands.readLine()) {
                int left = Integer.parseInt(line);
                long last = 0;
                long start = clock.getCurrentThreadCpuTime();
                while (left > 0) {
                    selector.select();
                    selector.selectedKeys().clear();
                    while (left > 0) {
                        data.clear();
                        InetSocketAddress source = (InetSocketAddress) channel.receive(data);
                        if (source == null) {
                            break;
                        }
                        touched += data.get(0) + data.position() + source.getPort();
                        last = data.getLong(0);
                        left--;
                    }
                }
                System.out.println((clock.getCurrentThreadCpuTime() - start) + " " + last);
            }
            if (touched == 0) {
                System.err.println("nothing has arrived");
            }
        }
    }
}
