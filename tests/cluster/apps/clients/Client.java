// Client.java: Java's URLConnection as a client (the form is in clients.py).
import java.io.*;
import java.net.*;
import java.nio.file.*;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.*;

public class Client {
    public static void main(String[] none) throws Exception {
        HttpsURLConnection.setDefaultSSLSocketFactory(trusting(System.getenv("CLIENT_CA"), System.getenv("CLIENT_TLS")));
        int patience = (int) (1000 * Double.parseDouble(System.getenv("CLIENT_PATIENCE")));
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = lines.readLine()) != null;) {
            String[] words = line.split(" ");
            for (int times = Integer.parseInt(words[0]); times > 0; times--)
                System.out.println(words[1] + " " + call(words[1], patience));
        }
    }

    static String call(String url, int patience) throws IOException {
        HttpURLConnection asked = (HttpURLConnection) new URL(url).openConnection();
        asked.setConnectTimeout(patience);
        asked.setReadTimeout(patience);
        try {
            int status = asked.getResponseCode();
            InputStream body = status < 400 ? asked.getInputStream() : asked.getErrorStream();
            if (body != null) body.readAllBytes();
            return String.valueOf(status);
        } catch (UnknownHostException e) {
            return "resolve";
        } catch (SSLHandshakeException e) {
            return "certificate";
        } catch (ConnectException e) {
            return "refused";
        } catch (SocketTimeoutException e) {
            return "timeout";
        } catch (IOException e) {
            return "other:" + e.toString().replace(' ', '_');
        }
    }

    static SSLSocketFactory trusting(String file, String version) throws Exception {
        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        try (InputStream text = Files.newInputStream(Path.of(file))) {
            store.setCertificateEntry("authority", CertificateFactory.getInstance("X.509").generateCertificate(text));
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        SSLContext context = SSLContext.getInstance("TLSv" + version);
        context.init(null, trust.getTrustManagers(), null);
        return context.getSocketFactory();
    }
}
